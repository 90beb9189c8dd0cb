from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny import spade, write_category

from flows.evaluate import evaluate
from storage.results.reader import Results
from tasks.core.config import Configuration

pytestmark = pytest.mark.usefixtures("prefect_server")


def computed(store: Path, run: str) -> dict[str, int]:
    return dict(Results(store).stages(run).groupby("step")["computed"].sum())


def test_scores_whose_neighbors_stay_are_kept_when_training_images_are_added(
    tmp_path: Path, settings: Callable[..., Configuration]
) -> None:
    """The tables are those of a store that never saw the smaller training set."""
    root, store = tmp_path / "tiny", tmp_path / "store"
    write_category(root, "thing", train=9, normal=6, anomalous=6)
    methods = [spade(k_image=2).label, "dn2"]
    evaluate(str(root), str(store), settings(), run_id="before", methods=methods)
    write_category(tmp_path / "more", "thing", train=2, seed=5)
    for path in (tmp_path / "more/thing/train/good").iterdir():
        path.rename(root / "thing/train/good" / f"new-{path.name}")
    evaluate(str(root), str(store), settings(), run_id="after", methods=methods)
    evaluate(str(root), str(tmp_path / "fresh"), settings(), run_id="after", methods=methods)
    kept, anew = Results(store), Results(tmp_path / "fresh")
    for name in ("categories", "images", "neighbors", "summary"):
        one, other = (results.folder("after") / f"{name}.parquet" for results in (kept, anew))
        assert Path(one).read_bytes() == Path(other).read_bytes()
    for image_id in anew.images()["image_id"].unique():
        np.testing.assert_array_equal(
            kept.anomaly_map("after", image_id), anew.anomaly_map("after", image_id)
        )
    neighbors = [
        set(
            results.neighbors(run)
            .groupby(["method", "image_id"], observed=True)["neighbor_id"]
            .apply(tuple)
            .items()
        )
        for results, run in ((kept, "before"), (kept, "after"))
    ]
    affected = len(neighbors[1] - neighbors[0])
    assert 0 < affected < 2 * 12  # otherwise this test shows nothing
    assert computed(store, "after")["score"] == affected
    assert computed(store, "after")["extract"] == 2


def test_random_galleries_are_drawn_anew(tmp_path: Path, settings: Callable[..., Configuration]) -> None:
    root, store = tmp_path / "tiny", tmp_path / "store"
    write_category(root, "thing", train=5)
    methods = [spade(gallery="random").label]
    evaluate(str(root), str(store), settings(), run_id="before", methods=methods)
    (root / "thing/train/good/000.png").unlink()
    evaluate(str(root), str(store), settings(), run_id="after", methods=methods)
    assert computed(store, "after")["score"] == 5
