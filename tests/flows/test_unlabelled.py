"""Test images without a label: scored, shown, and in no metric."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import spade
from published import Painter, mvtec_ad_2

from flows.evaluate import evaluate
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.methods.registry import parse_method

SPADE = "spade(k_image=3, k_gallery=2)"
METHODS = tuple(parse_method(text).label for text in ("dn2", SPADE, f"ensemble(methods=('dn2', '{SPADE}'))"))
PRIVATE = ["can/test_private/000_regular.png", "can/test_private_mixed/000_mixed.png"]


@pytest.fixture(scope="module")
def folder(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run with unlabelled images, a category of them alone, and a run without any of them."""
    folder = tmp_path_factory.mktemp("unlabelled")
    mvtec_ad_2(folder / "data")
    paint = Painter(folder / "data")
    paint.rng = np.random.default_rng(1)
    paint.image("can/test_public/good/001_regular.png", "can/test_public/bad/001_regular.png")
    paint.mask("can/test_public/ground_truth/bad/001_regular_mask.png")
    shutil.copytree(folder / "data", folder / "labelled")
    for name in ("test_private", "test_private_mixed"):
        shutil.rmtree(folder / "labelled" / "can" / name)
    paint.image(*(f"tin/train/good/{number:03}.png" for number in range(4)), "tin/test_private/000.png")
    for name in ("data", "labelled"):
        evaluate(str(folder / name), str(folder / "store"), settings(), run_id=name, methods=METHODS)
    return folder


def test_they_are_scored_and_change_no_metric(folder: Path) -> None:
    results = Results(folder / "store")
    rows = {run: results.rows("categories", run) for run in ("data", "labelled")}
    can = [row for row in rows["data"] if row["category"] == "can"]
    assert [row["unlabelled"] for row in can] == [2] * len(METHODS)
    differing = {"run", "dataset", "unlabelled"}
    for row, other in zip(can, rows["labelled"], strict=True):
        assert {name for name in row if row[name] != other[name]} == differing
    for label in METHODS:
        images = results.rows("images", "data", results.method("data", label))
        scored = {row["image_id"]: row for row in images if row["category"] == "can"}
        assert [name for name, row in scored.items() if row["anomalous"] is None] == PRIVATE
        assert all(np.isfinite(scored[name]["score_embedding"]) for name in PRIVATE)
        assert {scored[name]["defect"] for name in PRIVATE} == {"unlabelled"}
    assert {row["image_id"] for row in results.rows("neighbors", "data")} >= set(PRIVATE)
    assert np.isfinite(results.anomaly_map("data", PRIVATE[0])).all()
    assert {row["defect"] for row in results.rows("kinds", "data")} == {"bad"}
    assert results.images("data")["anomalous"].isna().sum() == 3 * len(METHODS)


def test_a_category_of_them_alone_has_scores_and_a_reason(folder: Path) -> None:
    results = Results(folder / "store")
    for row in results.rows("categories", "data"):
        if row["category"] == "tin":
            assert (row["status"], row["test_normal"], row["test_anomalous"]) == ("ok", 0, 0)
            assert row["image_reason"] == "no test image has a label"
            assert row["pixel_reason"] or row["map_reason"]
            assert row["image_rocauc_embedding"] is None
    assert {row["categories"] for row in results.rows("summary", "data")} <= {0, 1}
    found = results.rows("method_comparisons", "data")
    assert {row["verdict"] for row in found if row["category"] == "tin"} == {"not comparable"}
    reasons = {row["reason"].split(": ")[-1] for row in found if row["category"] == "tin"}
    assert reasons == {"no test image has a label", "dn2 scores whole images"}


def test_an_equal_run_is_the_same_and_computes_nothing(
    folder: Path, settings: Callable[..., Configuration]
) -> None:
    again = evaluate(str(folder / "data"), str(folder / "store"), settings(), run_id="again", methods=METHODS)
    results = Results(folder / "store")
    assert not sum(row["computed"] for row in results.rows("stages", again))
    verdicts = {row["category"]: row["verdict"] for row in results.rows("comparisons", again)}
    assert verdicts == {"can": "same", "tin": "not comparable"}


def test_validation_images_have_features(folder: Path) -> None:
    results = Results(folder / "store")
    (extracted,) = (
        row["total"]
        for row in results.rows("stages", "labelled")
        if row["step"] == "extract" and row["category"] == "can"
    )
    assert extracted == 4 + 1 + 4  # training, validation, test


@pytest.mark.parametrize("method", METHODS[:2])
def test_pages_and_screens_say_so(folder: Path, method: str, tmp_path: Path) -> None:
    store = ("--store", folder / "store")
    code, _, error = spade("report", "data", "--method", method, "--output", tmp_path, *store)
    assert (code, error) == (0, "")
    text = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.html")}
    assert "2 unlabelled: scored, in no metric" in text["index.html"]
    assert "2 unlabelled in no metric" in text["01-can/index.html"]
    assert "No image ROCAUC" in text["02-tin/index.html"]
    assert "no test image has a label" in text["02-tin/index.html"]
    pages = [page for page in text.values() if '<span class="label unlabelled">unlabelled</span>' in page]
    assert len(pages) == 3
    for table, said in (("categories", "unlabelled"), ("images", "unlabelled"), ("summary", "can")):
        code, out, error = spade("results", "--run", "data", "--table", table, *store)
        assert (code, error) == (0, "")
        assert said in out
    code, out, error = spade("methods", "data", *store)
    assert (code, error) == (0, "")


def test_maps_of_them_are_exported(folder: Path, tmp_path: Path) -> None:
    code, _, error = spade("export", tmp_path, "--run", "data", "--store", folder / "store")
    assert (code, error) == (0, "")
    assert (tmp_path / f"{PRIVATE[0]}.tif").is_file()
