"""The README's picture: pages of a store's latest report, as a browser shows them.

python tests/picture.py STORE PICTURE.png
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from storage.results.reader import Results

SHOWN = "connector/test/bent/003.png"
WIDTH, HEIGHT = 1000, 1200


def picture(store: str) -> Image.Image:
    """The page of one image of the demo, in colours few enough for a small file."""
    report = Path(store).absolute() / "reports" / Results(store).resolve("latest") / "index.html"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.as_uri())
        page.get_by_role("table").first.get_by_role("link", name=SHOWN.split("/")[0]).click()
        page.locator("p.lead").get_by_role("link").click()
        page.get_by_role("link", name=SHOWN.partition("/test/")[2]).click()
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        page.evaluate("Promise.all([...document.images].map(picture => picture.decode()))")
        screen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        browser.close()
    return screen.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.parent.mkdir(parents=True, exist_ok=True)
    picture(sys.argv[1]).save(target, optimize=True)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")
