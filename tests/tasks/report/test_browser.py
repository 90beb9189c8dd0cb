"""A headless browser opens reports from disk and clicks through them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from flows.evaluate import evaluate
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.demo import draw_dataset
from tasks.report.build import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.usefixtures("prefect_server")

CONFIGURATION = Configuration(backbone="tf_efficientnet_lite0")
SPADE = "spade(k_image={}, k_gallery=5, upsampling='nearest')"
LOOKS: list[tuple[Literal["light", "dark"], int]] = [("light", 1280), ("dark", 390)]
MEGABYTES = 0.5  # of a test image, with its share of the training images


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium on the path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield started
        started.close()


def click_through(browser: Browser, report: Path, scheme: Literal["light", "dark"], width: int) -> list[str]:
    """Open overview, category, image and gallery by clicking; the titles of the pages seen."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file://", "data:")) else faults.append(request.url),
    )
    titles = []

    def look() -> None:
        titles.append(page.title())
        faults.extend(f"{page.url}: {fault}" for fault in shortcomings(page, width))

    page.goto(report.as_uri())
    look()
    page.get_by_role("table").first.get_by_role("link").first.click()
    look()
    page.locator("#hardest ~ ul a").last.click()
    look()
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").nth(1).click()
    page.locator("p.lead").get_by_role("link").click()
    look()
    page.locator("ul.cards a").first.click()
    page.get_by_role("link", name="next").or_(page.get_by_role("link", name="previous")).first.click()
    page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").first.click()
    assert page.url == report.as_uri()
    context.close()
    assert faults == []
    return titles


def shortcomings(page: Page, width: int) -> list[str]:
    """Broken pictures, and what is wider than the window."""
    found: list[str] = page.evaluate(
        """async () => {
            for (const details of document.querySelectorAll('details')) details.open = true;
            const faults = [];
            for (const picture of document.images) {
                picture.loading = 'eager';
                await picture.decode().catch(() => {});
                if (picture.naturalWidth === 0) faults.push('broken picture ' + picture.src);
            }
            return faults;
        }"""
    )
    wide = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"{wide} pixels wide in a window of {width}"] if wide > width else [])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("demo") / "store"
    root = draw_dataset(Store.open(store, create=True))
    methods = [SPADE.format(5), "dn2"]
    evaluate(str(root), str(store), CONFIGURATION, ["connector"], methods=methods)
    return Path(str(write_report(str(store))))


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_demo_opens_from_disk(
    scheme: Literal["light", "dark"], width: int, browser: Browser, demo: Path
) -> None:
    titles = click_through(browser, demo, scheme, width)
    assert titles[0] == "demo · SPADE"
    assert titles[1] == "connector · SPADE"
    assert titles[2].startswith("connector: ")


def test_real_images_open_from_disk(browser: Browser, shared_data: Path, tmp_path: Path) -> None:
    store, methods = tmp_path / "store", [SPADE.format(50)]
    root = shared_data / "mvtec_reduced"
    evaluate(str(root), str(store), CONFIGURATION, ["hazelnut"], methods=methods)
    report = Path(str(write_report(str(store))))
    for scheme, width in LOOKS:
        assert click_through(browser, report, scheme, width)[1] == "hazelnut · SPADE"
    files = [path for path in report.parent.rglob("*") if path.is_file()]
    pages = list((report.parent / "01-hazelnut").glob("0*.html"))
    assert len(pages) == 10
    assert sum(path.stat().st_size for path in files) < len(pages) * MEGABYTES * 2**20
    assert sum(path.parent.name == "train" for path in files) <= 50


def test_a_browser_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<title>t</title><img src="gone.jpg"><p style="width: 2000px">wide</p>', encoding="utf-8"
    )
    page = browser.new_page(viewport={"width": 390, "height": 800})
    page.goto((tmp_path / "index.html").as_uri())
    found = shortcomings(page, 390)
    assert len(found) == 2
    assert found[0].startswith("broken picture")
    page.close()
