"""Reports of tiny runs: what is on the pages, and what they say where something is missing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from errno import ENOSPC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import Links, check_references, page_of, text
from PIL import Image
from tiny import write_category, write_image

from flows.evaluate import IncompleteRunError
from storage.errors import StoreError
from storage.results.metrics import SHOWN
from storage.results.reader import Results
from storage.results.schemas import CATEGORIES
from storage.store.files import Files
from storage.store.location import Location
from tasks.report.build import write_report
from tasks.report.references import references
from tasks.report.source import Source
from tasks.run.conventions import convention_rows

from .conftest import Evaluate

ODD = "größe <b>2"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories, the second with names that a page must escape."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "007", seed=7)
    write_category(root, ODD, train=3, side=52, seed=2)
    good = root / ODD / "test" / "good"
    (good / "000.png").rename(good / '"><script>alert(1)<&amp;.png')
    return root


@pytest.fixture(scope="module")
def finished(dataset: Path, run: Evaluate, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one run, not to be changed."""
    store = tmp_path_factory.mktemp("finished") / "store"
    run(dataset, store, "first")
    return store


@pytest.fixture(scope="module")
def pages(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that run."""
    folder = tmp_path_factory.mktemp("pages") / "report"
    assert Path(str(write_report(str(finished), "first", str(folder)))) == folder / "index.html"
    return folder


@pytest.fixture
def copied(dataset: Path, finished: Path, tmp_path: Path, run: Evaluate) -> tuple[Path, Path]:
    """A dataset and a store with a run on it, to be changed."""
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    store = Path(shutil.copytree(finished, tmp_path / "store"))
    run(root, store, "second")
    return root, store


def test_every_reference_is_relative_and_leads_to_a_file(pages: Path) -> None:
    check_references(pages)


def test_the_overview_has_every_metric_of_the_tables(pages: Path, finished: Path) -> None:
    shown = text(pages / "index.html")
    results = Results(finished)
    for row in results.rows("categories"):
        for name in SHOWN:
            assert row[name] is None or f"{row[name]:.3f}" in shown
    record = results.rows("runs")[0]
    for name in ("run", "backbone", "data_digest", "weights_sha256", "feature_key", "fingerprint", "root"):
        assert str(record[name]) in shown
    for name, version in record["versions"].items():
        assert f"{name} {version}" in shown
    assert f"{record['finished'].isoformat(sep=' ', timespec='seconds')}" in shown
    assert "+00:00" in shown
    assert "This is the first run on tiny by spade(k_image=3, k_gallery=2) in this store." in shown
    assert "No category of this run has the name of one of MVTec AD" in shown
    assert "Every file of the dataset was used." in shown


def test_names_are_escaped_everywhere(pages: Path) -> None:
    for page in pages.rglob("*.html"):
        content = page.read_text(encoding="utf-8")
        assert "<script>" not in content
        assert "größe <b>" not in content
    assert ODD in text(pages / "index.html")
    assert all(re.fullmatch(r"[a-z0-9./-]+", str(p.relative_to(pages))) for p in pages.rglob("*"))
    assert "<script>alert(1)<&amp;.png" in text(
        page_of(pages / "02-groe-b-2", 'good/"><script>alert(1)<&amp;.png')
    )


def test_each_image_has_its_pictures_neighbours_and_match(pages: Path, finished: Path) -> None:
    for row in Results(finished).rows("images"):
        if row["category"] != "007":
            continue
        page = page_of(pages / "01-007", row["image_id"].removeprefix("007/test/"))
        shown = text(page)
        kinds = {path.stem[5:] for path in (page.parent / "tiles").glob(f"{page.stem}-*.jpg")}
        assert kinds | {"cut"} == {"image", "map", "mask", "cut"}
        assert ("no pixel above the threshold" in shown) == ("cut" not in kinds)
        near = [n for n in Results(finished).rows("neighbors") if n["image_id"] == row["image_id"]]
        for neighbor in near:
            assert f"{neighbor['squared_distance']:#.4g}" in shown
        assert "squared distance" in shown
        assert (f"neighbour {near[0]['rank']})" in shown) or (f"neighbour {near[1]['rank']})" in shown)
        assert "chosen on the test set" in shown
        assert ("true outline" in shown) == row["anomalous"]


def test_the_defect_is_inside_the_predicted_picture(pages: Path) -> None:
    page = page_of(pages / "01-007", "square/000.png")
    tile = np.asarray(Image.open(page.parent / "tiles" / f"{page.stem}-cut.jpg")).astype(int)
    grey = np.abs(tile - 118).max(axis=2) < 20
    assert 0.3 < grey.mean() < 1
    assert (tile[~grey].max(axis=1) > 200).any()


def test_the_same_run_gives_the_same_files(pages: Path, finished: Path, tmp_path: Path) -> None:
    write_report(str(finished), "first", str(tmp_path / "again"))
    for path in pages.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(pages)).read_bytes()


def test_a_report_lies_in_the_store_by_default(copied: tuple[Path, Path]) -> None:
    page = Path(str(write_report(str(copied[1]))))
    assert page == copied[1] / "reports" / "second" / "index.html"
    with pytest.raises(StoreError, match="no finished run 'third'"):
        write_report(str(copied[1]), "third")


def test_the_previous_run_is_compared_and_what_differs_is_said(
    copied: tuple[Path, Path], run: Evaluate
) -> None:
    root, store = copied
    shown = text(Path(str(write_report(str(store), "second"))))
    assert "Run first, finished" in shown
    assert "Not comparable" not in shown
    assert "007 0 0 0 0 0" in shown
    run(root, store, "third", sigma=0.0)
    shown = text(Path(str(write_report(str(store), "third"))))
    assert "Run second, finished" in shown
    assert "Not comparable as it stands. sigma: 1.0 before, 0.0 now" in shown
    run(root, store, "fourth")
    assert "Run second, finished" in text(Path(str(write_report(str(store), "fourth"))))


def test_images_and_masks_that_are_gone_are_said_to_be(copied: tuple[Path, Path]) -> None:
    root, store = copied
    (root / "007" / "test" / "square" / "000.png").unlink()
    write_image(root / "007" / "test" / "square" / "001.png", np.zeros((9, 9, 3), np.uint8))
    (root / "007" / "ground_truth" / "square" / "002_mask.png").unlink()
    shutil.rmtree(root / "007" / "train")
    folder = Path(str(write_report(str(store)))).parent
    shown = text(page_of(folder / "01-007", "square/000.png"))
    assert "007/test/square/000.png: No such file or directory" in shown
    assert "gone or changed since the run" in shown
    assert "the pictures are gone or changed since the run" in shown
    shown = text(page_of(folder / "01-007", "square/001.png"))
    assert "007/test/square/001.png changed since the run" in shown
    shown = text(page_of(folder / "01-007", "square/002.png"))
    assert "the true mask cannot be shown: 007/ground_truth/square/002_mask.png: No such file" in shown
    assert "notes on pictures and masks" in text(folder / "01-007" / "index.html")
    shutil.rmtree(root)
    folder = Path(str(write_report(str(store)))).parent
    assert not list(folder.rglob("*.jpg"))
    assert "ROC curve of images" in (folder / "01-007" / "index.html").read_text("utf-8")


def test_features_and_maps_that_are_gone_are_said_to_be(copied: tuple[Path, Path]) -> None:
    _, store = copied
    shutil.rmtree(store / "features")
    folder = Path(str(write_report(str(store)))).parent
    shown = text(page_of(folder / "01-007", "square/000.png"))
    assert "the features are no longer in the store" in shown
    assert "predicted mask" in shown
    shutil.rmtree(store / "scores")
    folder = Path(str(write_report(str(store)))).parent
    shown = text(page_of(folder / "01-007", "square/000.png"))
    assert "the anomaly map is no longer in the store" in shown
    assert "predicted mask" not in shown
    assert "No pixel curves: the masks or the maps are no longer there" in text(
        folder / "01-007" / "index.html"
    )


def test_failed_categories_and_set_aside_files_are_listed(
    dataset: Path, run: Evaluate, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / ODD / "train")
    (root / "007" / "test" / "good" / "000.png").write_bytes(b"")
    (root / "007" / "ground_truth" / "square" / "001_mask.png").unlink()
    with pytest.raises(IncompleteRunError):
        run(root, tmp_path / "store")
    folder = Path(str(write_report(str(tmp_path / "store")))).parent
    shown = text(folder / "index.html")
    assert "1 failed" in shown
    assert "failed: no usable training image" in shown
    assert "007/test/good/000.png unreadable: the file is empty" in shown
    assert "partial" in shown
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["01-007"]
    assert "unreadable: the file is empty" in text(folder / "01-007" / "index.html")
    assert "not in the pixel metrics: no mask" in text(page_of(folder / "01-007", "square/001.png"))


@pytest.mark.parametrize(("removed", "reason"), [("square", "normal"), ("good", "anomalous")])
def test_one_kind_of_image_alone_has_no_curve_but_a_reason(
    removed: str, reason: str, dataset: Path, run: Evaluate, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / "007" / "test" / removed)
    if removed == "square":
        shutil.rmtree(root / "007" / "ground_truth")
    run(root, tmp_path / "store", categories=["007"])
    folder = Path(str(write_report(str(tmp_path / "store")))).parent
    shown = text(folder / "01-007" / "index.html")
    assert f"all test images are {reason}" in shown
    assert "There is none." in shown
    assert "ROC curve of images" not in (folder / "01-007" / "index.html").read_text("utf-8")
    if removed == "square":
        assert "No pixel curves: no test image has an anomalous pixel" in shown
        assert "There is no pixel threshold: no test image" in text(folder / "01-007" / "0001.html")


def test_levels_matched_one_by_one_have_a_match_each(dataset: Path, run: Evaluate, tmp_path: Path) -> None:
    methods = ["spade(fusion='average', k_gallery=2)"]
    run(dataset, tmp_path / "store", categories=["007"], methods=methods)
    page = Path(str(write_report(str(tmp_path / "store")))).parent / "01-007" / "0001.html"
    for stride in (4, 8, 16):
        assert f"Levels {stride}: the patch" in text(page)


def test_a_category_of_mvtec_is_set_beside_published_figures(
    dataset: Path, run: Evaluate, tmp_path: Path
) -> None:
    root = tmp_path / "tiny"
    shutil.copytree(dataset / "007", root / "grid")
    run(root, tmp_path / "store")
    store = str(tmp_path / "store")
    folder = Path(str(write_report(store))).parent
    row = Results(store).rows("categories")[0]
    shown = text(folder / "index.html")
    assert "grid 4 for training, 2 normal and 3 anomalous to test; MVTec AD has 264" in shown
    assert "paper backbone is resnet18, published with wide_resnet50_2" in shown
    difference = f"{row['pro'] - 0.867:+.3f}".replace("-", "\N{MINUS SIGN}")
    assert f"grid PRO {row['pro']:.3f} 0.867 K 50 {difference}" in shown
    assert "SPADE 56x56 only, K = 50" in text(folder / "01-grid" / "index.html")
    measured = {row["metric"]: row for row in convention_rows(store, "latest", "SPADE-pytorch")}
    found = {each.metric: each for each in references(Source(store, "latest"))}
    image = found["image_rocauc_embedding"]
    assert image.values["SPADE-pytorch"] == measured["image_rocauc_embedding"]["by_convention"]
    assert image.values["SPADE"] == image.value
    assert measured["pixel_rocauc"]["by_convention"] is None  # at 64x64
    assert found["pixel_rocauc"].values["SPADE-pytorch"] == found["pixel_rocauc"].value
    assert "SPADE-pytorch, image score: mean of the K distances, not of their squares" in shown


def test_intervals_are_shown_where_the_table_has_them() -> None:
    from tasks.report.pages import change, duration, interval, metric, number

    row: dict[str, Any] = dict.fromkeys(CATEGORIES.names) | {"pro": 0.91234}
    assert interval(row, "pro") == "0.912"
    row |= {"pro_low": 0.9, "pro_high": 0.9256}
    assert interval(row, "pro") == '0.912 <span class="interval">0.900\N{EN DASH}0.926</span>'
    assert metric(None) == number(None) == change((None, 0.5)) == "\N{EN DASH}"
    assert [change((0.5, new)) for new in (0.5, 0.50001, 0.51, 0.4)] == [
        "0",
        "0",
        "+0.0100",
        "\N{MINUS SIGN}0.1000",
    ]
    assert [number(value) for value in (28.1, 21044.4, -0.00123456)] == [
        "28.10",
        "21044",
        "\N{MINUS SIGN}0.001235",
    ]
    assert [duration(value) for value in (1.25, 61, 7262)] == ["1.2 s", "1 min 1 s", "2 h 1 min"]


def test_two_thousand_images_are_paged(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.report.category.GALLERY", 2)
    folder = Path(str(write_report(str(finished), output=str(tmp_path / "report")))).parent
    names = sorted(path.name for path in (folder / "01-007").glob("images-*.html"))
    assert names == ["images-1.html", "images-2.html", "images-3.html"]
    pictures = [Links(folder / "01-007" / name).pictures for name in names]
    assert pictures == [2, 2, 1]
    assert "page 2 of 3" in text(folder / "01-007" / "images-2.html")
    assert "5 to 5 of 5" in text(folder / "01-007" / "images-3.html")


def test_files_that_cannot_be_used_are_named_with_their_reasons(
    copied: tuple[Path, Path], tmp_path: Path, run: Evaluate
) -> None:
    root, store = copied
    good = root / "007/train/good"
    (good / "circle.png").symlink_to("circle.png")
    (good / os.fsdecode(b"caf\xe9.png")).write_bytes((good / "000.png").read_bytes())
    run(root, store, "odd")
    reasons = {
        row["image_id"]: row["reason"]
        for row in Results(str(store)).rows("manifest", "odd")
        if row["status"] != "ok"
    }
    assert reasons == {
        "007/train/good/circle.png": "a symbolic link that leads back to itself",
        r"007/train/good/caf\xe9.png": "the name is not UTF-8: rename it",
    }
    shown = text(Path(str(write_report(str(store), "odd", str(tmp_path / "odd")))))
    for name, reason in reasons.items():
        assert name in shown
        assert reason in shown


def test_a_disk_that_is_full_while_pages_are_written_is_named_with_the_remedy(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Files.write_all

    def fill(files: Files, contents: Mapping[Location, bytes], **how: bool) -> None:
        if any(path.name.endswith(".jpg") for path in contents):
            raise OSError(ENOSPC, "No space left on device")
        write(files, contents, **how)

    monkeypatch.setattr(Files, "write_all", fill)
    with pytest.raises(StoreError, match=r"no report can be written to .*No space left.*name another folder"):
        write_report(str(finished), output=str(tmp_path / "report"))
    assert not (tmp_path / "report" / "index.html").exists()


def test_a_run_that_died_has_no_pages(copied: tuple[Path, Path], killed: Callable[..., None]) -> None:
    root, store = copied
    killed(root, store, "died")
    with pytest.raises(StoreError, match=r"died was interrupted, and has no tables: evaluate .* again"):
        write_report(str(store), "died")
    assert "Run first, finished" in text(Path(str(write_report(str(store)))))
