from __future__ import annotations

from pathlib import Path

import pytest
import same_nights

from storage.results.reader import Results
from storage.store.store import Store


@pytest.mark.usefixtures("prefect_server")
def test_a_bucket_and_a_folder_are_equal_after_nights_with_images_added_changed_and_removed(
    bucket: str, tmp_path: Path, resnet18_weights: Path
) -> None:
    registry = same_nights.draw(tmp_path, resnet18_weights, ["nut"])
    stores = [str(tmp_path / "store"), f"{bucket}/store"]
    same_nights.nights(tmp_path, registry, stores, 3)
    here, there = (same_nights.held(Store.open(store)) for store in stores)
    assert here.keys() == there.keys()
    assert {name for name in here if here[name] != there[name]} == set()
    assert len(Results(stores[0]).runs()) == 3
    changes = [row["kind"] for row in here["runs/2/changes"]]
    assert sorted(changes) == ["added", "changed", "removed"]
    assert {name.partition("/")[0] for name in here} == {
        *("runs", "features", "looks", "scores", "alike", "indices", "states")
    }
