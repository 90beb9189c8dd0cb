"""Copies of published datasets: registered as they are found, evaluated, and again after a change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from published import COPIES, SIDE
from tiny import write_image

from flows.reprocess import reprocess
from storage.datasets.manifest import last_manifest
from storage.datasets.proposal import propose
from storage.results.metrics import SATURATED
from storage.results.reader import Results
from storage.store.store import Store

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_evaluated_and_reprocessed_where_an_image_changed(
    kind: str, tmp_path: Path, resnet18_weights: Path
) -> None:
    root = tmp_path / kind
    root.mkdir()
    held = COPIES[kind](root)
    registry, store = tmp_path / "datasets.toml", str(tmp_path / "store")
    registry.write_text(
        f'[configurations.small]\nbackbone = "resnet18"\nweights = "{resnet18_weights}"\n'
        "metric_resolution = 32\nk_image = 2\nk_gallery = 1\n"
        + propose(kind, str(root), kind).entry().replace("\nroot", '\nconfigurations = ["small"]\nroot')
    )
    (first,) = reprocess(kind, str(registry), store)
    rows = {row["category"]: row for row in Results(store).rows("categories", str(first.run))}
    assert rows.keys() == {name if name != root.name else kind for name in held}
    for category, expected in held.items():
        row = rows[category]
        assert (row["status"], row["reason"]) == ("ok", None)
        assert row["test_anomalous"] == sum(expected.defects.values())
        assert row["unlabelled"] == expected.unlabelled
        assert row["pixel_images"] == row["test_anomalous"] + row["test_normal"]
        assert row["set_aside"] == expected.set_aside
        assert (row["sample_reason"] is None) == bool(expected.samples)
        assert (row["sample_rocauc_embedding"] is not None) == bool(expected.samples)
        for metric in SATURATED:
            assert (row[metric.name] is not None) == (kind == "mvtec_loco") == (metric.reason(row) is None)

    manifest = last_manifest(Store.open(store), kind)
    assert manifest is not None
    changed = next(image for image in manifest.test() if image.anomalous)
    values = np.random.default_rng(9).integers(0, 255, (changed.height or SIDE, changed.width or SIDE, 3))
    write_image(root / changed.image_id, values.astype(np.uint8))
    (second,) = reprocess(kind, str(registry), store)
    found = [(row["kind"], row["image_id"]) for row in Results(store).rows("changes", str(second.run))]
    assert found == [("changed", changed.image_id)]
    stages = Results(store).rows("stages", str(second.run))
    for step in ("extract", "score"):
        assert sum(row["computed"] for row in stages if row["step"] == step) == 1
