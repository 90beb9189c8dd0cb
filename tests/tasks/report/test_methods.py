"""The pages of every method: what each has is shown, and what it has not is said."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from pages import Links, check_references, page_of, text

from storage.errors import StoreError
from storage.results.metrics import BY_NAME, SHOWN
from storage.results.reader import Results
from tasks.core.methods.registry import parse_method
from tasks.report.build import write_report
from tasks.report.pages import metric, number

from .conftest import LABELS, SPADE


@pytest.fixture(scope="module", params=LABELS)
def shown(
    request: pytest.FixtureRequest, every_method: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A method's label, and the folder of its pages."""
    folder = tmp_path_factory.mktemp("pages") / "report"
    write_report(str(every_method), "second", str(folder), request.param)
    return request.param, folder


def test_no_page_is_broken(shown: tuple[str, Path]) -> None:
    _, folder = shown
    check_references(folder)
    pages = list(folder.rglob("*.html"))
    assert len(pages) == 1 + (2 + 5) + (2 + 3)
    for page in pages:
        assert not re.search(r"\b(None|nan|NaN|inf|Undefined)\b", text(page)), page


def test_the_overview_shows_the_method_among_all(shown: tuple[str, Path], every_method: Path) -> None:
    label, folder = shown
    page = text(folder / "index.html")
    assert f"evaluated by {label} with resnet18" in page
    rows = {row["category"]: row for row in Results(every_method).rows("categories", "second", label)}
    for name, title in SHOWN.items():
        value, reason = rows["nut"][name], BY_NAME[name].reason(rows["nut"])
        assert (value is None) == (reason is not None)
        assert metric(value) in page
        assert title in page
    assert f"No image ROCAUC{', image ROCAUC (map)' * parse_method(label).has_map}: all test" in page
    assert "gone failed: no usable training image" in page
    for row in Results(every_method).rows("categories", "second"):
        assert row["method"] in page
    (command,) = re.findall(r"spade report second --method .* --store \S+", page)
    other = shlex.split(command)[4]
    assert other in LABELS
    assert other != label


def test_the_last_run_of_the_method_that_ended_is_the_previous_one(shown: tuple[str, Path]) -> None:
    page = text(shown[1] / "index.html")
    assert "Run first, finished" in page
    assert "Not comparable" not in page
    assert f"nut{' 0' * (5 if parse_method(shown[0]).has_map else 1)} " in page


def test_a_category_shows_what_the_method_has(shown: tuple[str, Path], every_method: Path) -> None:
    label, folder = shown
    method = parse_method(label)
    nut, bolt = folder / "03-nut", folder / "01-bolt"
    page = text(nut / "index.html")
    assert f"scored by {label}" in page
    assert ("scores whole images: there are no anomaly maps" in page) != method.has_map
    assert ("anomaly map" in page.replace("there are no anomaly maps", "")) == method.has_map
    assert ("PRO: mean overlap of regions" in page) == method.has_map
    assert ("No pixel curves" in page) != method.has_map
    order = "anomaly map" if method.has_map else "image score"
    assert f"by the {order}, highest first" in text(nut / "images-1.html")
    rows = Results(every_method).rows("images", "second", label)
    score = f"score_{'map' if method.has_map else 'embedding'}"
    ranked = sorted((row for row in rows if row["category"] == "nut"), key=lambda row: -row[score])
    first = text(nut / "images-1.html")
    cards = [f"{row['image_id'].removeprefix('nut/test/')} {number(row[score])}" for row in ranked]
    assert [first.index(card) for card in cards] == sorted(first.index(card) for card in cards)
    assert "all test images are normal: ranking needs both kinds" in text(bolt / "index.html")


def test_an_image_is_explained_as_far_as_the_method_can(shown: tuple[str, Path], every_method: Path) -> None:
    label, folder = shown
    method, results = parse_method(label), Results(every_method)
    near = results.rows("neighbors", "second", label)
    for row in results.rows("images", "second", label):
        if row["category"] != "nut":
            continue
        page = text(page_of(folder / "03-nut", row["image_id"].removeprefix("nut/test/")))
        for score in (row["score_embedding"], row["score_map"]):
            assert score is None or number(score) in page
        assert ("predicted mask" in page.replace("no predicted mask", "")) == method.has_map
        assert ("There is no anomaly map, and no predicted mask" in page) != method.has_map
        of_image = [neighbor for neighbor in near if neighbor["image_id"] == row["image_id"]]
        assert bool(of_image) == bool(method.neighbor_count)
        for neighbor in of_image:
            assert f"{neighbor['rank']} {number(neighbor['squared_distance'])}" in page
        assert (f"{label} does not name training images" in page) != bool(of_image)
        explains = method.correspondence is not None
        assert ("the patch in the test image is nearest to one of" in page) == explains
        assert (f"{label} does not say which patch" in page) != explains


def test_a_random_gallery_is_explained_by_the_images_that_were_compared(
    every_method: Path, tmp_path: Path
) -> None:
    label = next(label for label in LABELS if "random" in label)
    write_report(str(every_method), "second", str(tmp_path / "report"), label)
    page = text(tmp_path / "report" / "03-nut" / "0001.html")
    assert "All patches of 2 random training images were compared" in page


def test_an_ensemble_says_which_of_its_methods_explains(every_method: Path, tmp_path: Path) -> None:
    label = next(label for label in LABELS if label.startswith("ensemble(methods=('dn2', 'spade"))
    write_report(str(every_method), "second", str(tmp_path / "report"), label)
    page = text(tmp_path / "report" / "03-nut" / "0001.html")
    assert f"So says {SPADE}, the first of the joined methods" in page
    assert "They are those of dn2, the first of the joined methods" in page
    assert "Its 2 nearest normal images" in page


def test_seconds_of_all_methods_are_there(every_method: Path, tmp_path: Path) -> None:
    write_report(str(every_method), "second", str(tmp_path / "report"), "dn2")
    links = Links(tmp_path / "report" / "index.html")
    page = re.sub(r"\s+", " ", links.text)
    table = page[page.index("Seconds by step") : page.index("Set aside")]
    assert "category method ingest extract index drift fit score summarize operate" in table
    for label in LABELS:
        assert table.count(f" {label} ") == 2
    stages = Results(every_method).rows("stages", "second")
    cells: dict[Any, int] = {}
    for stage in stages:
        place = stage["category"], stage["method"], stage["step"]
        cells[place] = cells.get(place, 0) + 1
    assert set(cells.values()) == {1}
    assert len(re.findall(r"\d \d+ of \d+", table)) == len(stages)


def test_a_method_may_be_named_in_any_spelling_but_has_to_be_in_the_run(
    every_method: Path, tmp_path: Path
) -> None:
    page = write_report(
        str(every_method), "second", str(tmp_path / "report"), "spade( k_gallery=2, k_image=3 )"
    )
    assert f"evaluated by {SPADE} with" in text(Path(str(page)))
    with pytest.raises(StoreError, match=r"no method 'dn2\(k=7\)' in run second: it has spade"):
        write_report(str(every_method), "second", str(tmp_path / "other"), "dn2(k=7)")
    assert not (tmp_path / "other").exists()


def test_the_operating_point_and_its_regions_are_shown_or_why_there_are_none(
    every_method: Path, tmp_path: Path
) -> None:
    results = Results(every_method)
    for label in (SPADE, "dn2", next(label for label in LABELS if "rule='ranks'" in label)):
        folder = tmp_path / str(LABELS.index(label))
        write_report(str(every_method), "second", str(folder), label)
        (page,) = folder.glob("*-nut/index.html")
        shown = re.sub(r"\s+", " ", text(page))
        images = [path.read_text() for path in sorted(page.parent.glob("0*.html"))]
        rows = {
            row["rule"]: row for row in results.rows("operating", "second", label) if row["category"] == "nut"
        }
        for row in rows.values():
            if row["threshold"] is None:
                assert f"no threshold: {row['reason']}" in shown
            else:
                assert f"{row['false_alarms']} of {row['normal']}" in shown
                assert f"{row['missed']} of {row['anomalous']}" in shown
        regions = [
            row for row in results.rows("regions", "second", label) if row["image_id"].startswith("nut/")
        ]
        assert sum(page.count('<rect class="patch" ') for page in images) >= min(len(regions), 1)
        if label == SPADE:
            assert sum("Boxes around the anomalous regions" in page for page in images) == len(
                {row["image_id"] for row in regions}
            )
        else:
            reason = "scores whole images" if label == "dn2" else "one image has no rank"
            assert all(reason in page for page in images)
