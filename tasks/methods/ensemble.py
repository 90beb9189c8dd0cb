"""Ensembles: the scores of several methods on one scale, which held-out normal images give."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from storage.computed.needs import CALIBRATION
from storage.computed.scores import ImageScore
from storage.errors import DatasetError
from storage.store.store import digest
from tasks.core.batches import batches
from tasks.core.methods.ensemble import Ensemble, Scale, Unit, held_out, mean_normalized, mean_rank
from tasks.core.metrics.ranking import map_score
from tasks.job import Part, Stage
from tasks.methods.fitted import FeatureScoring, record_scores
from tasks.methods.scoring import BATCH_SIZE, Asked, Map, Scoring
from tasks.progress import report

Result = tuple[ImageScore, Map]


@dataclass(frozen=True, eq=False)
class EnsembleScoring(Scoring):
    """An ensemble on one category; the scores of its methods are found in the store, or computed.

    Image scores are joined by the ensemble's rule. Maps, of the methods that have any, are joined on the
    scale of the pixels of normal maps. A method's scale is that of its scores of held-out training images, by
    a fit to the others.
    """

    method: Ensemble

    @cached_property
    def members(self) -> list[FeatureScoring]:
        """The methods on this category."""
        return [FeatureScoring(self.part, method) for method in self.method.members]

    @cached_property
    def description(self) -> dict[str, Any]:
        """All that determines the scores; ranks need all images."""
        description = {
            "version": 2,
            "method": self.method.name,
            "rule": self.method.rule,
            "seed": self.method.seed,
            "scores": [member.key for member in self.members],
        }
        description |= {name: value for name, value in self.method.keyed().items() if name == "scale"}
        if self.method.rule == "ranks":
            description["test"] = digest(sorted(self.part.scored))
        return description

    def score(self) -> list[Stage]:
        """Append the scores that images lack, once those of the methods are there.

        Raises:
            DatasetError: too few training images to hold some out.
        """
        listed = self.part.job.methods
        others = [
            member
            for member in self.members
            if member.method not in listed or member.scores.missing(self.part.scored)
        ]
        stages = [stage for member in others for stage in member.score()]
        calibration = [member.key for member in self._calibrations]
        self.scores.describe(self.description | {CALIBRATION: calibration})
        test, label, category = self.part.scored, self.method.label, self.part.category
        missing = self.scores.missing(test)
        report(label, category, len(test) - len(missing), len(test), "found in the store")
        start = time.perf_counter()
        joined = start
        if missing:
            scales = self._scales
            joined = time.perf_counter()
            images = [[member.scores.read(key) for member in self.members] for key in test]
            ranks = dict(zip(test, _ranks(images).tolist(), strict=True))
            for keys in batches(missing, BATCH_SIZE):
                results = [self._joined(self._stored(key), scales, ranks[key]) for key in keys]
                record_scores(self, results)
        scored, trained = time.perf_counter(), len(self.part.train)
        return [
            *stages,
            self.stage("fit", joined - start, trained if missing else 0, trained),
            self.stage("score", scored - joined, len(missing), len(test)),
        ]

    def pieces(self) -> list[FeatureScoring]:
        """All that is scored from features for it: the methods, and what gives their scales."""
        return [*self.members, *self._calibrations]

    def refusal(self) -> str | None:
        """One image has no rank."""
        if self.method.rule != "ranks":
            return None
        return (
            f"method {self.method.label} ranks the test images of a run, and one image has no rank: "
            "score by another method, or evaluate with rule='scores'"
        )

    def ask(self, image: Asked) -> Result:
        """The mean of what the methods say of any image."""
        return self._joined([member.ask(image) for member in self.members], self._scales)

    def held_out(self, keys: Sequence[str], *, maps: bool) -> Iterator[Result]:
        """The mean of what the methods say of images they had not seen."""
        found = [
            {result[0].sha256: result for result in member.held_out(keys, maps=maps)}
            for member in self.members
        ]
        for key in keys:
            yield self._joined([of_member[key] for of_member in found], self._scales)

    @cached_property
    def _calibrations(self) -> list[FeatureScoring]:
        """The methods fitted to some training images, which score the others."""
        try:
            calibration = _calibration(self.part, self.method.seed)
        except ValueError as error:
            raise DatasetError(f"{self.method.label}: {error}") from error
        return [FeatureScoring(calibration, method) for method in self.method.members]

    @cached_property
    def _scales(self) -> list[tuple[Scale, Scale | None]]:
        """Of each method the scale of its image scores, and of its maps if it has any."""
        calibrations = self._calibrations
        try:
            return [_scale(calibration, self.method.scale) for calibration in calibrations]
        except ValueError as error:
            raise DatasetError(f"{self.method.label}: {error}") from error

    def _stored(self, key: str) -> list[Result]:
        found: list[Result] = []
        for member in self.members:
            record = member.scores.read(key)
            has_map = record.score_map is not None
            found.append((record, member.scores.anomaly_map(key) if has_map else None))
        return found

    def _joined(
        self,
        results: Sequence[Result],
        scales: Sequence[tuple[Scale, Scale | None]],
        rank: float | None = None,
    ) -> Result:
        """Record and map of one image, from what the methods say of it."""
        images = [np.array(record.score_embedding) for record, _ in results]
        value = float(mean_normalized(images, [scale for scale, _ in scales]))
        if self.method.rule == "ranks" and rank is not None:
            value = rank
        maps = [
            (each, scale)
            for (_, each), (_, scale) in zip(results, scales, strict=True)
            if each is not None and scale is not None
        ]
        joined = mean_normalized(*zip(*maps, strict=True)) if maps else None
        by_map = None if joined is None else map_score(joined)
        explaining = next((record for record, _ in results if record.neighbors), results[0][0])
        return ImageScore(
            results[0][0].sha256, value, by_map, explaining.neighbors, explaining.squared_distances
        ), joined


def _calibration(part: Part, seed: int) -> Part:
    keys = sorted(set(part.train))
    return part.held_out({key for key, out in zip(keys, held_out(len(keys), seed), strict=True) if out})


def _scale(calibration: FeatureScoring, unit: Unit) -> tuple[Scale, Scale | None]:
    calibration.score()
    scores, keys = calibration.scores, calibration.part.scored
    records = [scores.read(key) for key in keys]
    return (
        Scale.of([np.array([record.score_embedding for record in records])], unit),
        None if records[0].score_map is None else Scale.of(map(scores.anomaly_map, keys), unit),
    )


def _ranks(images: Sequence[Sequence[ImageScore]]) -> Any:
    by_method = zip(*images, strict=True)
    return mean_rank([np.array([record.score_embedding for record in records]) for records in by_method])
