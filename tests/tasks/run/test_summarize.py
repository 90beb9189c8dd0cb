from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tiny import spade

from storage.results.metrics import BY_NAME, METRICS
from storage.store.store import Store
from tasks.core.methods.neighbors import DN2
from tasks.job import Part
from tasks.methods.fitted import FeatureScoring
from tasks.run.summarize import failure, summarize


@pytest.fixture
def scoring(part: Part) -> FeatureScoring:
    """A method that has scored."""
    found = FeatureScoring(part, DN2(k=1))
    found.score()
    return found


def test_metrics_that_are_known_are_not_computed_again(scoring: FeatureScoring) -> None:
    first, _, stage = summarize.fn(scoring)
    assert (stage.computed, stage.total, stage.method) == (5, 5, "dn2(k=1)")
    again, _, stage = summarize.fn(scoring)
    assert stage.computed == 0
    assert again == first
    assert first["map_reason"] == "dn2(k=1) scores whole images"
    assert first["score_key"] == scoring.key


def test_one_metric_more_is_another_key_and_is_computed(
    scoring: FeatureScoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, _, _ = summarize.fn(scoring)
    more = replace(BY_NAME["image_average_precision_embedding"], name="another")
    monkeypatch.setattr("tasks.run.summarize.METRICS", (*METRICS, more))
    row, _, stage = summarize.fn(scoring)
    assert stage.computed == 5
    assert row["another"] == before["image_average_precision_embedding"]
    assert row["metrics_key"] != before["metrics_key"]
    assert {name: value for name, value in row.items() if name not in ("another", "metrics_key")} == {
        name: value for name, value in before.items() if name != "metrics_key"
    }


def test_metrics_are_written_after_their_profile_and_no_sooner_than_scores_are_whole(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded exists: the record of metrics is the last file that is written."""
    scoring = FeatureScoring(part, DN2())
    written: list[str] = []
    write = Store.write

    def spy(self: Store, path: Any, content: bytes) -> None:
        written.append(path.name if path.parent.name != "metrics" else "metrics")
        write(self, path, content)

    monkeypatch.setattr(Store, "write", spy)
    scoring.score()
    row, _, _ = summarize.fn(scoring)
    assert written[-1] == "metrics"
    assert scoring.scores.metrics(row["metrics_key"]) is not None


def test_a_category_that_failed_has_its_reason_and_what_was_set_aside(part: Part) -> None:
    gone = part.manifest.test()[0].image_id
    row = failure(part.without({gone: "it is gone"}), DN2(), "no room")
    assert row == {
        "dataset": "tiny",
        "category": "nut",
        "method": "dn2",
        "set_aside": 1,
        "status": "failed",
        "reason": "no room",
    }


def test_metrics_of_images_come_by_their_ids_and_are_known_again(part: Part) -> None:
    """At a resolution at which the two normal images have pixels enough."""
    configuration = replace(part.job.configuration, metric_resolution=80)
    scoring = FeatureScoring(replace(part.job, configuration=configuration).part("nut"), spade())
    scoring.score()
    row, images, _ = summarize.fn(scoring)
    values = [images[image.image_id]["aupimo"] for image in part.test_images]
    assert [value is not None for value in values] == [image.anomalous for image in part.test_images]
    assert row["aupimo"] == pytest.approx(np.mean([value for value in values if value is not None]))
    assert row["aupimo_low"] <= row["aupimo"] <= row["aupimo_high"]
    assert summarize.fn(scoring)[:2] == (row, images)


def test_a_metric_that_needs_more_pixels_than_there_are_says_so(part: Part) -> None:
    scoring = FeatureScoring(part, spade())
    scoring.score()
    row, images, _ = summarize.fn(scoring)
    assert row["aupimo"] is None
    assert "10000 are needed" in row["aupimo_reason"] == BY_NAME["aupimo"].reason(row)
    assert not any(images.values())
    assert row["pro_05"] is not None
