from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from tiny import spade, write_category

from flows.evaluate import evaluate
from storage.errors import StoreError
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.pictures.restore import restore
from tasks.export_regions import export_regions, run_lengths

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools


@pytest.fixture(scope="module")
def store(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A store with a run at an operating point, and one without."""
    folder = tmp_path_factory.mktemp("regions")
    write_category(folder / "data", "nut", train=4)
    write_category(folder / "data", "bolt", train=4, side=33, seed=3)
    methods = [spade().label]
    for run, fpr in (("point", 0.25), ("none", 0.0)):
        evaluate(str(folder / "data"), str(folder / "store"), settings(fpr=fpr), run_id=run, methods=methods)
    return str(folder / "store")


def test_pycocotools_reads_every_region_with_its_very_pixels(
    store: str, settings: Callable[..., Configuration], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = COCO(export_regions(store, "point", tmp_path))
    capsys.readouterr()
    results = Results(store)
    assert {each["name"] for each in coco.loadCats(coco.getCatIds())} == {"bolt", "nut"}
    assert len(coco.getAnnIds()) == len(results.rows("regions", "point")) > 0
    assert len(coco.getImgIds()) == 10
    limits = {
        row["category"]: row["threshold"]
        for row in results.rows("operating", "point")
        if row["rule"] == "pixel"
    }
    for image in coco.loadImgs(coco.getImgIds()):
        category = image["file_name"].split("/")[0]
        anomaly_map = results.anomaly_map("point", image["file_name"])
        heat = restore(anomaly_map, settings().preprocessing, image["height"], image["width"])
        masks = [coco.annToMask(each) for each in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))]
        joined = np.sum([np.zeros(heat.shape, np.uint8), *masks], axis=0)
        np.testing.assert_array_equal(joined, heat > limits[category])
    for each in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(each)
        assert each["area"] == mask.sum()
        assert coco_mask.toBbox(coco.annToRLE(each)).tolist() == each["bbox"]


def test_lines_have_an_image_each_also_without_a_region(store: str, tmp_path: Path) -> None:
    path = export_regions(store, "point", tmp_path, category="nut", format="jsonl")
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(lines) == 5
    assert all(bool(line["regions"]) == line["flagged_pixel"] for line in lines)
    found = [row for row in Results(store).rows("regions", "point") if row["category"] == "nut"]
    assert [each["peak"] for line in lines for each in line["regions"]] == [row["peak"] for row in found]


def test_a_run_without_an_operating_point_says_how_to_have_one(store: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"run none has no pixel threshold: evaluate with --fpr, as 0\.05"):
        export_regions(store, "none", tmp_path)
    with pytest.raises(StoreError, match="run point, category screw has no pixel threshold"):
        export_regions(store, "point", tmp_path, category="screw")


@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 5), st.integers(0, 3), st.integers(0, 3))
def test_run_lengths_are_those_of_pycocotools(
    seed: int, height: int, width: int, left: int, top: int
) -> None:
    inside = np.random.default_rng(seed).random((height, width)) > 0.5
    whole = np.zeros((9, 8), dtype=np.uint8)
    whole[top : top + height, left : left + width] = inside
    found = run_lengths(inside, left, top, 9, 8)
    decoded = coco_mask.decode(coco_mask.frPyObjects(found, 9, 8))
    np.testing.assert_array_equal(decoded, whole)
