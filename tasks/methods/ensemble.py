"""Ensembles: the scores of several methods on one scale, which held-out normal images give."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import ImageScore, Scores
from storage.datasets.dataset import Manifest
from storage.errors import DatasetError
from storage.results.schemas import SPADE
from storage.store.store import digest
from tasks.core.methods.ensemble import Ensemble, Scale, held_out, mean_normalized, mean_rank
from tasks.core.methods.registry import method_label, parse_member
from tasks.core.metrics.ranking import map_score
from tasks.job import Job, Stage
from tasks.methods.fitted import learned_scoring, score_learned
from tasks.methods.index import build
from tasks.methods.spade import BATCH_SIZE, score_together, scoring
from tasks.progress import report


def score_ensemble(job: Job, manifest: Manifest, ensemble: Ensemble) -> list[Stage]:
    """Append the scores that test images lack; those of the methods are computed where the store has none.

    Image scores are joined by the ensemble's rule. Maps, of the methods that have any, are joined on the
    scale of the pixels of normal maps. A method's scale is that of its scores of held-out training images, by
    a fit to the others.

    Raises:
        DatasetError: too few training images to hold some out.
    """
    start = time.perf_counter()
    label, (category,) = method_label(ensemble), manifest.categories()
    test = list(dict.fromkeys(entry.key for entry in manifest.test()))
    score_key, description = ensemble_scoring(job, manifest, ensemble)
    scores = Scores(job.open_store(), score_key)
    scores.describe(description)
    missing = scores.missing(test)
    report(label, category, len(test) - len(missing), len(test), "found in the store")
    fitted = start
    if missing:
        try:
            calibration = _calibration(manifest, ensemble.seed)
            members = [_Member.of(job, manifest, calibration, name) for name in ensemble.methods]
        except ValueError as error:
            raise DatasetError(f"{label}: {error}") from error
        fitted = time.perf_counter()
        ranks = dict(zip(test, mean_rank([member.image_scores(test) for member in members]), strict=True))
        for first in range(0, len(missing), BATCH_SIZE):
            keys = missing[first : first + BATCH_SIZE]
            if ensemble.rule == "ranks":
                values = np.array([ranks[key] for key in keys])
            else:
                values = mean_normalized(
                    [member.image_scores(keys) for member in members],
                    [member.image_scale for member in members],
                )
            scores.append(*_joined(members, keys, values.tolist()))
    images, scored = len(manifest.train()), time.perf_counter()
    return [
        Stage("fit", category, fitted - start, images if missing else 0, images, method=label),
        Stage("score", category, scored - fitted, len(missing), len(test), method=label),
    ]


def ensemble_scoring(job: Job, manifest: Manifest, ensemble: Ensemble) -> tuple[str, dict[str, Any]]:
    """The score key of a category and ensemble, and what it is a digest of; ranks need all test images."""
    description = {
        "version": 1,
        "method": ensemble.name,
        "rule": ensemble.rule,
        "seed": ensemble.seed,
        "scores": [_scoring(job, manifest, name) for name in ensemble.methods],
    }
    if ensemble.rule == "ranks":
        description["test"] = digest(sorted({entry.key for entry in manifest.test()}))
    return digest(description), description


@dataclass(frozen=True)
class _Member:
    """A method's scores of the test images, and its scales; no scale of maps where it has none."""

    scores: Scores
    image_scale: Scale
    map_scale: Scale | None

    @classmethod
    def of(cls, job: Job, manifest: Manifest, calibration: Manifest, name: str) -> _Member:
        store = job.open_store()
        for part in (manifest, calibration):
            if name == SPADE:
                build(job, part)
                score_together([job], part)
            else:
                score_learned(job, part, parse_member(name))
        held = Scores(store, _scoring(job, calibration, name))
        keys = [entry.key for entry in calibration.test()]
        records = [held.read(key) for key in keys]
        return cls(
            Scores(store, _scoring(job, manifest, name)),
            Scale.of([np.array([record.score_embedding for record in records])]),
            None if records[0].score_map is None else Scale.of(held.anomaly_map(key) for key in keys),
        )

    def image_scores(self, keys: Sequence[str]) -> NDArray[np.float64]:
        return np.array([self.scores.read(key).score_embedding for key in keys])


def _calibration(manifest: Manifest, seed: int) -> Manifest:
    keys = sorted({entry.key for entry in manifest.train()})
    return manifest.held_out({key for key, out in zip(keys, held_out(len(keys), seed), strict=True) if out})


def _scoring(job: Job, manifest: Manifest, name: str) -> str:
    key, _ = scoring(job, manifest) if name == SPADE else learned_scoring(job, manifest, parse_member(name))
    return key


def _joined(
    members: Sequence[_Member], keys: Sequence[str], values: Sequence[float]
) -> tuple[list[ImageScore], NDArray[np.float32] | None]:
    """Records, and maps (B, R, R) if any method has some."""
    found = [(member.scores, member.map_scale) for member in members if member.map_scale is not None]
    if not found:
        return [ImageScore(key, value, None, [], []) for key, value in zip(keys, values, strict=True)], None
    scales = [scale for _, scale in found]
    maps = [mean_normalized([scores.anomaly_map(key) for scores, _ in found], scales) for key in keys]
    records = [
        ImageScore(key, value, map_score(joined), [], [])
        for key, value, joined in zip(keys, values, maps, strict=True)
    ]
    return records, np.stack(maps)
