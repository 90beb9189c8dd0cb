"""Metrics of scores against labels: exact, all from one sort. A positive is anomalous."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.pimo import Tail, aupimo
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.regions import region_weights
from tasks.core.metrics.saturated import Saturated, lowest_needed

PRO_LIMIT = 0.3
STRICT_PRO_LIMIT = 0.05
PRESORTED = 5  # percent of the other class that may be on the wrong side

MapsAndMasks = Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]


@dataclass(frozen=True)
class Ranking:
    """Counts at the T distinct scores of the positives, highest first.

    Recall and overlap change at these scores alone, so every metric here is exact without the others.

    Attributes:
        thresholds: (T,) scores; positive is predicted at or above one.
        true_positives: (T,) int64, positives at or above.
        false_positives: (T,) int64, negatives at or above.
        false_positives_above: (T,) int64, negatives above.
        negatives: number of all negatives.
        overlap: (T,) sum of the weights of the positives at or above.
    """

    thresholds: NDArray[np.floating]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_positives_above: NDArray[np.int64]
    negatives: int
    overlap: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        negatives: NDArray[np.floating],
        positives: NDArray[np.floating],
        weights: NDArray[np.float64] | None = None,
    ) -> Ranking:
        """Rank the scores of negatives (N,) and positives (P,), each with a weight, 1 / P if not given.

        `negatives` is sorted in place: no copy of it is made.

        Raises:
            ValueError: a score is not finite, or one class is absent.
        """
        if not len(negatives) or not len(positives):
            raise ValueError("both normal and anomalous samples are needed")
        if not (np.isfinite(negatives).all() and np.isfinite(positives).all()):
            raise ValueError("scores hold values that are not finite")
        negatives.sort()
        order = np.argsort(positives)[::-1]
        ranked = positives[order]
        if weights is None:
            weights = np.full(len(positives), 1 / len(positives))
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        thresholds = ranked[last]
        return cls(
            thresholds,
            last + 1,
            len(negatives) - np.searchsorted(negatives, thresholds, side="left"),
            len(negatives) - np.searchsorted(negatives, thresholds, side="right"),
            len(negatives),
            np.cumsum(weights[order])[last],
        )

    def rocauc(self) -> float:
        """Area under the ROC curve: the chance that a positive outscores a negative, ties counted half."""
        gained = np.diff(self.true_positives, prepend=0)
        beaten = 2 * self.negatives - self.false_positives - self.false_positives_above
        return int(np.dot(gained, beaten)) / (2 * int(self.true_positives[-1]) * self.negatives)

    def average_precision(self) -> float:
        """Sum over thresholds of the precision times the gain in recall; no interpolation."""
        precision = self.true_positives / (self.true_positives + self.false_positives)
        gained = np.diff(self.true_positives, prepend=0) / self.true_positives[-1]
        return float(np.dot(gained, precision))

    def f1_max(self) -> tuple[float, float]:
        """The highest F1 on these very samples, and the highest threshold that reaches it."""
        return self._best_f1

    @cached_property
    def _best_f1(self) -> tuple[float, float]:
        predicted = self.true_positives + self.false_positives
        f1 = 2 * self.true_positives / (predicted + self.true_positives[-1])
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.thresholds[best])

    def iou_max(self) -> float:
        """The highest intersection over union: where F1 is highest, and a function of it."""
        f1, _ = self.f1_max()
        return f1 / (2 - f1)

    def presorted_good(self, percent: int = PRESORTED) -> float:
        """Share of the negatives below a threshold that at most `percent` of the positives are below."""
        positives = int(self.true_positives[-1])
        needed = positives - percent * positives // 100
        reached = int(np.searchsorted(self.true_positives, needed))
        return 1 - int(self.false_positives[reached]) / self.negatives

    def presorted_bad(self, percent: int = PRESORTED) -> float:
        """Share of the positives at or above a threshold that at most `percent` of the negatives reach."""
        within = int(np.searchsorted(self.false_positives, percent * self.negatives // 100, side="right"))
        return int(self.true_positives[within - 1]) / int(self.true_positives[-1]) if within else 0.0

    def pro(self, limit: float = PRO_LIMIT) -> float:
        """Overlap integrated over false-positive rates up to `limit`, divided by it.

        With the weights of `region_weights` the overlap is the mean over regions of the share found.
        """
        before = np.concatenate(([0.0], self.overlap[:-1]))
        ends = np.stack([self.false_positives_above, self.false_positives], axis=1).ravel()
        rate = np.concatenate(([0], ends, [self.negatives])) / self.negatives
        found = np.stack([before, self.overlap], axis=1).ravel()
        overlap = np.concatenate(([0.0], found, found[-1:]))
        end = int(np.searchsorted(rate, limit))
        share = (limit - rate[end - 1]) / (rate[end] - rate[end - 1])
        at_limit = overlap[end - 1] + share * (overlap[end] - overlap[end - 1])
        return float(np.trapezoid(np.append(overlap[:end], at_limit), np.append(rate[:end], limit))) / limit


_MEASURES: Mapping[str, Callable[[Ranking], float]] = {
    "rocauc": Ranking.rocauc,
    "average_precision": Ranking.average_precision,
    "f1_max": lambda ranking: ranking.f1_max()[0],
    "f1_max_threshold": lambda ranking: ranking.f1_max()[1],
}
IMAGE_MEASURES: Mapping[str, Callable[[Ranking], float]] = {
    **_MEASURES,
    "pg5": Ranking.presorted_good,
    "pb5": Ranking.presorted_bad,
}
PIXEL_MEASURES: Mapping[str, Callable[[Ranking], float]] = {
    **_MEASURES,
    "iou_max": Ranking.iou_max,
    "pro": Ranking.pro,
    "pro_05": lambda ranking: ranking.pro(STRICT_PRO_LIMIT),
}


@dataclass(frozen=True)
class PixelMeasures:
    """What is measured on the pixels of N images.

    Attributes:
        metrics: by measure; without those that are not defined.
        reasons: why a measure is not defined.
        by_image: (N,) values of each image by measure, NaN of an image without an anomalous pixel.
        profile: what a bootstrap over the images needs.
    """

    metrics: dict[str, float]
    reasons: dict[str, str]
    by_image: dict[str, NDArray[np.float64]]
    profile: Profile


def image_metrics(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> dict[str, float]:
    """Metrics of image scores (N,) against labels (N,); ValueError where they are not defined."""
    ranking = Ranking.of(scores[~anomalous], scores[anomalous])
    return {name: measure(ranking) for name, measure in IMAGE_MEASURES.items()}


def pixel_metrics(pairs: MapsAndMasks) -> dict[str, float]:
    """Metrics of anomaly maps (R, R) against masks (R, R), given pair by pair; ValueError where not defined.

    Exact, in about 4 bytes a pixel: of the maps only their scores are kept.
    """
    parts = _split(pairs)
    found, _, _ = _against_normal_images(parts, parts.tail())
    return _ranked(parts.rank()) | found


def pixel_ranking(pairs: MapsAndMasks) -> Ranking:
    """The ranking of all pixels of anomaly maps (R, R) against masks (R, R), given pair by pair."""
    return _split(pairs).rank()


def measure_pixels(pairs: MapsAndMasks, saturated: Saturated | None = None) -> PixelMeasures:
    """The same metrics, what they are of each image, and the profile of the images.

    The measures of `saturated`, which numbers the images as the pairs come, are the sPRO at the strict limit.
    """
    parts = _split(pairs)
    tail = parts.tail()
    found, reasons, by_image = _against_normal_images(parts, tail)
    profile = Profile.of(parts.negatives, parts.positives, parts.weights, parts.regions, tail)
    if saturated is not None:
        found |= _spro(parts, saturated)
    return PixelMeasures(_ranked(parts.rank()) | found, reasons, by_image, profile)


def map_score(anomaly_map: NDArray[np.float32], share: float = 0.01) -> float:
    """Image score by rule `map`: the mean of the highest `share` of the pixels, at least one."""
    count = max(1, math.ceil(share * anomaly_map.size))
    highest = np.partition(anomaly_map.ravel(), -count)[-count:]
    return float(np.sort(highest).mean(dtype=np.float64))


@dataclass(frozen=True)
class _Parts:
    """Of each image: scores of its normal and its anomalous pixels, weights of the latter, and regions."""

    negatives: list[NDArray[np.float32]]
    positives: list[NDArray[np.float32]]
    weights: list[NDArray[np.float64]]
    regions: list[int]

    def tail(self) -> Tail:
        """The highest scores of the images that have no region."""
        return Tail.of(
            [scores for scores, count in zip(self.negatives, self.regions, strict=True) if not count]
        )

    def rank(self) -> Ranking:
        """The ranking of all pixels; the lists of scores and weights are emptied."""
        return Ranking.of(
            _join(self.negatives), _join(self.positives), _join(self.weights) / max(sum(self.regions), 1)
        )


def _split(pairs: MapsAndMasks) -> _Parts:
    parts = _Parts([], [], [], [])
    for anomaly_map, mask in pairs:
        inverse_areas, count = region_weights(mask)
        parts.negatives.append(anomaly_map[~mask])
        parts.positives.append(anomaly_map[mask])
        parts.weights.append(inverse_areas)
        parts.regions.append(count)
    return parts


def _ranked(ranking: Ranking) -> dict[str, float]:
    return {name: measure(ranking) for name, measure in PIXEL_MEASURES.items()}


def _against_normal_images(
    parts: _Parts, tail: Tail
) -> tuple[dict[str, float], dict[str, str], dict[str, NDArray[np.float64]]]:
    """Measures whose false positives are those of normal images alone; why not; and their values by image."""
    if tail.reason is not None or not any(parts.regions):
        return {}, {"aupimo": tail.reason} if tail.reason else {}, {}
    values = aupimo(parts.positives, tail)
    return {"aupimo": float(np.nanmean(values))}, {}, {"aupimo": values}


def _spro(parts: _Parts, saturated: Saturated) -> dict[str, float]:
    """Saturated overlap up to the strict limit by measure; the negatives of each image are ascending."""
    weights = {image: defects.weights(parts.positives[image]) for image, defects in saturated.defects.items()}
    found = {}
    for measure, images in saturated.images.items():
        negatives = [parts.negatives[image] for image in images]
        positives = np.concatenate([parts.positives[image] for image in images])
        shares = np.concatenate([weights[image] for image in images])
        shares /= sum(len(saturated.defects[image].masks) for image in images)
        lowest = lowest_needed(negatives, positives, STRICT_PRO_LIMIT)
        alarms = np.concatenate([scores[np.searchsorted(scores, lowest) :] for scores in negatives])
        if len(alarms):
            needed = positives >= lowest
            ranking = Ranking.of(alarms, positives[needed], shares[needed])
            found[measure] = replace(ranking, negatives=sum(map(len, negatives))).pro(STRICT_PRO_LIMIT)
        else:
            found[measure] = float(shares.sum())
    return found


def _join(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """All parts in one array; each is let go of once it is copied, so that both are never held whole."""
    joined = np.empty(sum(map(len, parts)), parts[0].dtype if parts else np.float32)
    end = len(joined)
    while parts:
        part = parts.pop()
        joined[end - len(part) : end] = part
        end -= len(part)
    return joined
