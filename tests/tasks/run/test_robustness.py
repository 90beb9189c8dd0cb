from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from tiny import spade

from storage.computed.corrupted import CorruptedScores
from storage.datasets.dataset import Dataset
from storage.repair import examine
from storage.results.robustness import CLEAN
from storage.results.schemas import ROBUSTNESS
from storage.store.tables import table_of
from storage.tidy import merge_records
from tasks.core.corruptions import Corruption, corruptions
from tasks.core.errors import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.padim import PaDiM
from tasks.job import Part, Request
from tasks.methods.by_name import scoring_of
from tasks.methods.scoring import Scoring
from tasks.methods.thresholds import threshold
from tasks.run.extract import extract, features_of
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare, settle
from tasks.run.robustness import measure_robustness

FPR = 0.25
PADIM = PaDiM(levels=(16,), dimensions=4)
ENSEMBLE = Ensemble(methods=(spade(), PADIM))
RANKS = Ensemble(methods=(DN2(), spade()), rule="ranks")


def scored(part: Part, *methods: Method, named: tuple[Corruption, ...]) -> list[Scoring]:
    configuration = replace(part.job.configuration, fpr=FPR)
    job = replace(part.job, configuration=configuration, corruptions=named)
    scorings = [scoring_of(job.part("nut"), method) for method in methods]
    for scoring in scorings:
        scoring.score()
    return scorings


def measured(scorings: list[Scoring]) -> list[dict[str, Any]]:
    rows, _ = measure_robustness.fn(scorings)
    found: list[dict[str, Any]] = table_of(rows, ROBUSTNESS).to_pylist()
    return found


def test_rows_are_those_of_a_dataset_whose_test_images_are_files_made_worse(
    part: Part, tmp_path: Path
) -> None:
    """By several methods: written as PNG, extracted, scored, and counted in a plain loop."""
    corruption, methods = Corruption("noise", 3), (spade(), DN2(), PADIM, ENSEMBLE)
    rows = measured(scored(part, *methods, named=(corruption,)))
    root = tmp_path / "worse"
    for image in part.manifest.used():
        with Image.open(Path(part.job.dataset.root) / image.image_id) as picture:
            values = np.asarray(picture.convert("RGB"))
        if image.split == "test":
            values = corruption(values, image.key)
        (root / image.image_id).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(root / image.image_id)
    job = prepare.fn(Request(Dataset.at(root), str(tmp_path / "other"), part.job.configuration, run_id="run"))
    ingest.fn(job)
    extract.fn(job.part("nut"))
    for method in methods:
        own = {(row["corruption"], row["rule"]): row for row in rows if row["method"] == method.label}
        assert len(own) == (6 if method.has_map else 2)
        (clean,) = scored(part, method, named=())
        worse = scoring_of(job.part("nut"), method)
        worse.score()
        for name, scoring in ((CLEAN, clean), ("noise", worse)):
            images = scoring.part.test_images
            labels = [bool(image.anomalous) for image in images]
            for rule in {rule for _, rule in own}:
                found = [value_of(scoring, image.key, rule) for image in images]
                limit = threshold(clean, rule, FPR).value
                assert limit is not None
                row = own[name, rule]
                assert row["threshold"] == limit
                assert row["rocauc"] == pytest.approx(roc_auc_score(labels, found))
                above = [value > limit for value in found]
                pairs = list(zip(labels, above, strict=True))
                assert row["false_alarms"] == sum(flagged and not label for label, flagged in pairs)
                assert row["missed"] == sum(label and not flagged for label, flagged in pairs)
                assert (row["normal"], row["anomalous"], row["severity"]) == (2, 3, 0 if name == CLEAN else 3)


def value_of(scoring: Scoring, key: str, rule: str) -> float:
    if rule == "pixel":
        return float(scoring.scores.anomaly_map(key).max())
    return float(getattr(scoring.scores.read(key), f"score_{rule}"))


def test_what_is_kept_is_not_computed_again(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interruption, by another method, with more severities."""
    few, more = corruptions(["blur"], [1, 4]), corruptions(["blur"], [1, 4, 5])
    job = replace(part.job, batch_size=3)
    part = job.part("nut")
    passed: list[int] = []

    def counted(job: Any, inputs: Any) -> Any:
        if len(passed) == 2:
            passed.append(0)
            raise KeyboardInterrupt
        passed.append(len(inputs))
        return features_of(job, inputs)

    monkeypatch.setattr("tasks.run.robustness.features_of", counted)
    with pytest.raises(KeyboardInterrupt):
        measured(scored(part, spade(), named=few))
    rows = measured(scored(part, spade(), named=few))
    assert passed == [3, 3, 0, 3, 1]
    assert measured(scored(part, spade(), named=few)) == rows
    assert measured(scored(part, spade(), named=more))[: len(rows)] == rows
    assert passed == [3, 3, 0, 3, 1, 3, 2]
    both = scored(part, spade(), DN2(), named=few)
    _, stages = measure_robustness.fn(both)
    assert sum(passed[7:]) == 10
    assert [(stage.step, stage.computed, stage.total) for stage in stages] == [
        ("robustness", 0, 10),
        ("robustness", 10, 10),
    ]
    assert not part.features.missing([image.key for image in part.test_images])
    assert len(CorruptedScores(part.store, both[0].key).missing(["other"])) == 1
    assert not examine(part.store)


def test_records_are_repaired_and_merged_like_others(part: Part) -> None:
    scorings = scored(part, spade(), named=corruptions(["jpeg"], [1]))
    rows = measured(scorings)
    (segment,) = part.store.entries(part.store.corrupted(scorings[0].key) / "records")
    part.store.write(segment, b"half of a fi")
    (finding,) = examine(part.store)
    assert "corrupted" in finding.what
    finding.drop()
    assert measured(scorings) == rows
    assert merge_records(part.store, []) == []


def test_ranks_of_a_run_are_no_scores_of_an_image(part: Part) -> None:
    rows = measured(scored(part, RANKS, named=corruptions(["jpeg"], [1])))
    assert [row["corruption"] for row in rows] == [CLEAN] * 3 + ["jpeg"] * 3
    for row in rows:
        assert "one image has no rank" in row["reason"]
        assert row["false_alarms"] is None
        assert (row["rocauc"] is None) == (row["corruption"] != CLEAN)


def test_an_image_that_is_gone_is_left_out(part: Part) -> None:
    scorings = scored(part, spade(), named=corruptions(["jpeg"], [1]))
    gone = next(image for image in part.test_images if image.anomalous)
    dataset = replace(part.job.dataset, root=part.job.dataset.root + "-elsewhere")
    job = replace(scorings[0].part.job, dataset=dataset)
    nothing = [scoring_of(Part(job, "nut", part.manifest, part.store), spade())]
    rows = [row for row in measured(nothing) if row["corruption"] == "jpeg"]
    assert {(row["normal"], row["anomalous"], row["rocauc"]) for row in rows} == {(0, 0, None)}
    assert "needs normal and anomalous" in rows[0]["reason"]
    without = Part(scorings[0].part.job, "nut", part.manifest.exclude({gone.image_id: "gone"}), part.store)
    rows = [row for row in measured([scoring_of(without, spade())]) if row["corruption"] == "jpeg"]
    assert {(row["normal"], row["anomalous"]) for row in rows} == {(2, 2)}


def test_without_a_rate_there_is_no_threshold_to_hold_images_to(part: Part) -> None:
    with pytest.raises(ConfigurationError, match="fpr is 0"):
        settle(Request(part.job.dataset, part.job.store, part.job.configuration, corruptions=corruptions()))
