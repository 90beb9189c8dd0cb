"""Copies of published datasets, evaluated in the layouts that they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from published import COPIES

from flows.evaluate import evaluate
from storage.datasets.dataset import Dataset
from storage.results.reader import Results
from tasks.core.config import Configuration

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.parametrize("kind", ["mvtec_ad_2", "mvtec_loco", "visa", "kolektor_sdd", "coco", "table"])
def test_a_copy_is_evaluated_and_evaluated_again_from_the_store(
    kind: str, tmp_path: Path, settings: Callable[..., Configuration]
) -> None:
    root = tmp_path / kind
    root.mkdir()
    held = COPIES[kind](root)
    dataset, store = Dataset.at(root).recognised(), str(tmp_path / "store")
    first = evaluate(dataset, store, settings(), run_id="first")
    rows = {row["category"]: row for row in Results(store).rows("categories", first)}
    assert rows.keys() == held.keys()
    for category, expected in held.items():
        row = rows[category]
        assert (row["status"], row["reason"]) == ("ok", None)
        assert row["test_anomalous"] == sum(expected.defects.values())
        assert row["pixel_images"] == row["test_anomalous"] + row["test_normal"]
        assert row["set_aside"] == expected.set_aside
    second = evaluate(dataset, store, settings(), run_id="second")
    stages = Results(store).rows("stages", second)
    assert not [row for row in stages if row["step"] in ("extract", "score") and row["computed"]]
