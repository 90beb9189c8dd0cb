"""Test images made worse, at the thresholds of normal images as they are: the table of robustness."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.computed.corrupted import CorruptedScore, CorruptedScores
from storage.computed.scores import ImageScore
from storage.datasets.dataset import read_image
from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile
from storage.results.robustness import CLEAN
from storage.results.schemas import THRESHOLD_RULES
from tasks.core.batches import batches
from tasks.core.corruptions import Corruption
from tasks.core.metrics.intervals import interval_of
from tasks.core.metrics.ranking import Ranking
from tasks.core.networks.preprocess import preprocess
from tasks.core.networks.traits import Level
from tasks.job import Job, Part, Stage
from tasks.methods.by_name import scoring_of
from tasks.methods.scoring import Asked, Map, Scoring
from tasks.methods.thresholds import Threshold, threshold
from tasks.progress import LOGGER, report
from tasks.run.extract import features_of
from tasks.run.operating import by_label, cost, rules_of
from tasks.step import step

Row = dict[str, Any]


class _Wanted(NamedTuple):
    """An image to be made worse, and its key then."""

    key: str
    image: ImageFile
    corruption: Corruption


@step
def measure_robustness(scorings: Sequence[Scoring]) -> tuple[list[Row], list[Stage]]:
    """What the job's corruptions of the test images cost by methods that scored these as they are.

    Each image is made worse, passed through the network and scored by all methods once; features and maps
    are let go, scores are kept, batch by batch. Training images and thresholds are those of the run. What
    does not score an image on its own has rows with the reason.
    """
    part = scorings[0].part
    asked = [scoring for scoring in scorings if scoring.refusal() is None]
    start = time.perf_counter()
    computed = _score_missing(part, asked)
    seconds = (time.perf_counter() - start) / max(len(asked), 1)
    total = len(part.job.corruptions) * len({image.key for image in part.test_images})
    rows, stages = list[Row](), list[Stage]()
    for scoring in scorings:
        start = time.perf_counter()
        rows += _rows(scoring)
        if scoring in asked:
            spent = seconds + time.perf_counter() - start
            stages.append(scoring.stage("robustness", spent, computed[scoring.key], total))
    return rows, stages


def _score_missing(part: Part, scorings: Sequence[Scoring]) -> dict[str, int]:
    """Keep the scores that corrupted images lack; how many they were, by score key."""
    kept = {scoring.key: CorruptedScores(part.store, scoring.key) for scoring in scorings}
    every = {wanted.key: wanted for wanted in _every(part)}
    missing = {key: set(scores.missing(list(every))) for key, scores in kept.items()}
    wanted = [each for key, each in every.items() if any(key in of_one for of_one in missing.values())]
    report("robustness", part.category, len(every) - len(wanted), len(every), "found in the store")
    if not wanted:
        return dict.fromkeys(kept, 0)
    done = len(every) - len(wanted)
    asking = _asking(part, [scoring for scoring in scorings if missing[scoring.key]])
    size = 1 if part.job.configuration.tile is not None else part.job.batch_size
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for batch in batches(wanted, size):
            found: dict[str, list[CorruptedScore]] = {key: [] for key in asking}
            for image in _asked(part.job, batch, pool):
                for key, ask in asking.items():
                    if image.key in missing[key]:
                        found[key].append(ask(image))
            for key, scores in found.items():
                if scores:
                    kept[key].append(scores)
            done += len(batch)
            report("robustness", part.category, done, len(every), f"{len(batch)} new")
    return {key: len(of_one) for key, of_one in missing.items()}


def _every(part: Part) -> Iterator[_Wanted]:
    for corruption in part.job.corruptions:
        for image in part.test_images:
            yield _Wanted(corruption.key(image.key), image, corruption)


def _asking(part: Part, scorings: Sequence[Scoring]) -> dict[str, Callable[[Asked], CorruptedScore]]:
    """What asks each method about an image, by score key; they share the job's memory."""
    members = sum(len(scoring.method.members) for scoring in scorings)
    job = replace(part.job, memory_gib=part.job.memory_gib / max(members, 1))
    shared = Part(job, part.category, part.manifest, part.store, part.features)
    return {scoring.key: partial(_ask, scoring_of(shared, scoring.method)) for scoring in scorings}


def _ask(scoring: Scoring, image: Asked) -> CorruptedScore:
    return _scored(*scoring.ask(image))


def _scored(record: ImageScore, anomaly_map: Map) -> CorruptedScore:
    peak = None if anomaly_map is None else float(anomaly_map.max())
    return CorruptedScore(record.sha256, record.score_embedding, record.score_map, peak)


def _asked(job: Job, batch: Sequence[_Wanted], pool: Executor) -> Iterator[Asked]:
    """The images of a batch, made worse, with their features; those that cannot be read are left out."""
    inputs = pool.map(partial(_input, job), batch)
    read = [(each.key, values) for each, values in zip(batch, inputs, strict=True) if values is not None]
    if not read:
        return
    embeddings, levels = features_of(job, [values for _, values in read])
    for number, (key, _) in enumerate(read):
        yield Asked(key, embeddings[number].astype(np.float32), partial(_levels, levels, number))


def _levels(levels: Mapping[Level, NDArray[Any]], number: int, names: Sequence[Level]) -> list[NDArray[Any]]:
    return [levels[name][number] for name in names]


def _input(job: Job, wanted: _Wanted) -> NDArray[np.float32] | None:
    """An image made worse and preprocessed; None if it cannot be read any more."""
    try:
        image = read_image(job.dataset, wanted.image)
    except UnreadableImageError as error:
        LOGGER.warning("%s is left out of the table of robustness: %s", wanted.image.image_id, error)
        return None
    return preprocess(wanted.corruption(image, wanted.image.key), job.configuration.preprocessing)


def _rows(scoring: Scoring) -> list[Row]:
    part, rules = scoring.part, rules_of(scoring)
    rate = part.job.configuration.fpr
    limits = {rule: threshold(scoring, rule, rate) for rule in rules}
    of_method = {"dataset": part.job.dataset.name, "category": part.category, "method": scoring.method.label}
    rows = []
    for about, scores in _by_corruption(scoring):
        for rule in reversed(rules):
            values = {image: getattr(score, THRESHOLD_RULES[rule]) for image, score in scores.items()}
            of_rule = {"rule": rule, "fpr": rate, "threshold": limits[rule].value}
            rows.append(of_method | about | of_rule | _measured(limits[rule], values))
    return rows


def _by_corruption(scoring: Scoring) -> Iterator[tuple[Row, dict[ImageFile, CorruptedScore]]]:
    """The scores that there are of the test images as they are, then of those made worse."""
    part = scoring.part
    clean = {}
    for image in part.test_images:
        record = scoring.scores.read(image.key)
        anomaly_map = None if record.score_map is None else scoring.scores.anomaly_map(image.key)
        clean[image] = _scored(record, anomaly_map)
    yield {"corruption": CLEAN, "severity": 0}, clean
    kept = CorruptedScores(part.store, scoring.key)
    for corruption in part.job.corruptions:
        keys = {image: corruption.key(image.key) for image in part.test_images}
        missing = set(kept.missing(list(keys.values())))
        about = {"corruption": corruption.name, "severity": corruption.severity, "amount": corruption.amount}
        yield about, {image: kept.read(key) for image, key in keys.items() if key not in missing}


def _measured(limit: Threshold, values: Mapping[ImageFile, float]) -> Row:
    """ROCAUC, false alarms and misses of images with these scores, or why there are none."""
    normal, anomalous = by_label(values)
    row: Row = {"reason": limit.reason} | cost(limit, values)
    if not len(normal) or not len(anomalous):
        return {"reason": "ROCAUC needs normal and anomalous test images"} | {
            name: value for name, value in row.items() if value is not None
        }
    row["rocauc"] = Ranking.of(normal, anomalous).rocauc()
    if min(len(normal), len(anomalous)) > 1:
        labels = np.repeat([False, True], [len(normal), len(anomalous)])
        ends = interval_of(np.concatenate([normal, anomalous]), labels)
        row["rocauc_low"], row["rocauc_high"] = ends
    return row
