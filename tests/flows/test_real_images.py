"""Real images against figures that another program computed with plain loops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from flows.evaluate import evaluate
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.methods.spade import Spade

CONFIGURATION = Configuration(backbone="tf_efficientnet_lite0", metric_resolution=224)
BASE = Spade(distance="euclidean", upsampling="nearest")
FIVE = replace(BASE, fusion="average", k_image=5, k_gallery=5)


@pytest.mark.usefixtures("prefect_server")
def test_bottle_has_the_scores_of_an_independent_program(shared_data: Path, tmp_path: Path) -> None:
    def row(method: Spade) -> pd.Series:
        root, store = str(shared_data / "mvtec"), str(tmp_path / "store")
        evaluate(root, store, CONFIGURATION, categories=["bottle"], methods=[method.label])
        return Results(tmp_path / "store").categories().iloc[0]

    found = row(FIVE)
    assert (found["train"], found["test_normal"], found["test_anomalous"]) == (209, 20, 63)
    assert found["image_rocauc_embedding"] == pytest.approx(0.9992, abs=0.003)
    assert found["pixel_rocauc"] == pytest.approx(0.9698, abs=0.003)
    assert found["pro"] == pytest.approx(0.9331, abs=0.003)
    found = row(BASE)
    assert found["image_rocauc_embedding"] == pytest.approx(0.9937, abs=0.003)
    assert found["image_rocauc_map"] == pytest.approx(1.0, abs=0.003)
    assert found["pixel_rocauc"] == pytest.approx(0.9761, abs=0.003)
    assert found["pro"] == pytest.approx(0.9433, abs=0.003)


@pytest.mark.usefixtures("prefect_server")
def test_small_real_categories_are_evaluated_together(shared_data: Path, tmp_path: Path) -> None:
    """Two normal and eight anomalous images each, one-bit masks."""
    store = str(tmp_path / "store")
    evaluate(str(shared_data / "mvtec_reduced"), store, CONFIGURATION, methods=[FIVE.label])
    found = Results(tmp_path / "store").categories().set_index("category")
    assert found.index.tolist() == ["hazelnut", "transistor"]
    assert found["pixel_images"].tolist() == [10, 10]
    assert found["pixel_rocauc"].between(0.8, 1, inclusive="left").all()
