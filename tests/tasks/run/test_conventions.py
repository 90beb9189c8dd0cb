from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adeval.au_pro import calculate_au_pro
from command import spade
from PIL import Image
from sklearn.metrics import roc_auc_score
from tiny import spade as spade_method
from tiny import write_category

from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.networks.geometry import Preprocessing
from tasks.core.pictures.restore import restore
from tasks.run.conventions import CONVENTIONS, convention_rows
from tasks.run.tables import configuration_of

LABEL = spade_method(k_gallery=5).label


@pytest.fixture(scope="module")
def store(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """A run on the crop at 224 pixels, one of whole images, and one at another resolution."""
    from flows.evaluate import evaluate

    folder = tmp_path_factory.mktemp("conventions")
    write_category(folder / "data", "nut", train=5, normal=3)
    runs: dict[str, dict[str, Any]] = {
        "crop": {"metric_resolution": 224},
        "whole": {"metric_resolution": 224, "protocol": "full"},
        "small": {"metric_resolution": 64},
    }
    for name, more in runs.items():
        configuration, root = settings(**more), str(folder / "data")
        evaluate(root, str(folder / "store"), configuration, run_id=name, methods=[LABEL, "dn2"])
    return str(folder / "store")


def values(store: str, run: str, name: str, method: str | None = None) -> dict[str, float | None]:
    return {row["metric"]: row["by_convention"] for row in convention_rows(store, run, name, method)}


def test_spade_pytorch_takes_the_mean_of_distances_and_the_pixels_of_the_crop(store: str) -> None:
    results = Results(store)
    images = {row["image_id"]: row for row in results.rows("images", "crop", LABEL)}
    distances: dict[str, list[float]] = {name: [] for name in images}
    for row in results.rows("neighbors", "crop", LABEL):
        if row["rank"] <= 3:
            distances[row["image_id"]].append(np.sqrt(row["squared_distance"]))
    labels = [row["anomalous"] for row in images.values()]
    expected = roc_auc_score(labels, [np.mean(each) for each in distances.values()])
    found = values(store, "crop", "SPADE-pytorch")
    assert found["image_rocauc_embedding"] == pytest.approx(expected)
    ours = results.rows("categories", "crop", LABEL)[0]
    assert found["pixel_rocauc"] == ours["pixel_rocauc"]
    assert values(store, "crop", "SPADE-fast") == {
        name: ours[name] for name in ("image_rocauc_embedding", "pixel_rocauc")
    }


def test_mvtec_measures_whole_images_at_their_own_size(store: str) -> None:
    """By adeval, on files read here."""
    results = Results(store)
    record = results.rows("run", "whole")[0]
    how: Preprocessing = configuration_of(record).preprocessing
    maps, masks, labels = [], [], []
    for row in results.rows("images", "whole", LABEL):
        path = Path(record["root"]) / row["image_id"]
        mask = Path(str(path).replace("/test/", "/ground_truth/").replace(".png", "_mask.png"))
        with Image.open(path) as picture:
            width, height = picture.size
        empty = np.zeros((height, width), np.uint8)
        masks.append(np.asarray(Image.open(mask)) // 255 if mask.exists() else empty)
        maps.append(restore(results.anomaly_map("whole", row["image_id"], LABEL), how, height, width))
        labels.append(row["anomalous"])
    found = values(store, "whole", "mvtec")
    assert found["image_rocauc_map"] == roc_auc_score(labels, [each.max() for each in maps])
    normal = int(sum((each == 0).sum() for each in masks))
    for name, limit in (("pro", 0.3), ("pro_05", 0.05)):
        theirs, _ = calculate_au_pro(masks, maps, limit, num_thresholds=normal)
        assert found[name] == pytest.approx(theirs, abs=2 / normal / limit)


def test_what_a_run_does_not_allow_has_a_reason(store: str) -> None:
    reasons = {
        (run, name, row["metric"]): row["reason"]
        for run, name in (("whole", "SPADE-fast"), ("small", "SPADE-pytorch"), ("crop", "mvtec"))
        for row in convention_rows(store, run, name)
    }
    assert "--metric-resolution 224" in str(reasons["whole", "SPADE-fast", "pixel_rocauc"])
    assert "--metric-resolution 224" in str(reasons["small", "SPADE-pytorch", "pixel_rocauc"])
    assert reasons["small", "SPADE-pytorch", "image_rocauc_embedding"] is None
    assert "--protocol full" in str(reasons["crop", "mvtec", "pro"])
    for name in ("rd4ad", "mvtec"):
        (row, *_) = convention_rows(store, "whole", name, "dn2")
        assert (row["by_convention"], row["reason"]) == (None, "dn2 scores whole images")


def test_the_command_shows_them_beside_ours_and_names_what_there_is(store: str) -> None:
    for name in CONVENTIONS:
        code, out, error = spade("results", "--store", store, "--run", "whole", "--convention", name)
        assert (code, error) == (0, "")
        assert name in out
    code, _, error = spade("results", "--store", store, "--convention", "mvtek")
    assert code == 2
    assert "convention is 'mvtek': did you mean mvtec? it is one of SPADE-pytorch, SPADE-fast" in error
