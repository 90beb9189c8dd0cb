"""Metrics of scores against labels: exact, all from one sort. A positive is anomalous."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PRO_LIMIT = 0.3
_IN_PLANE = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE[1] = True


@dataclass(frozen=True)
class Ranking:
    """Counts at or above each distinct score, highest score first.

    Attributes:
        thresholds: (T,) the distinct scores; positive is predicted at or above one.
        true_positives: (T,) int64.
        false_positives: (T,) int64.
        overlap: (T,) sum of the weights of the positives, if they have weights.
    """

    thresholds: NDArray[np.floating]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    overlap: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        scores: NDArray[np.floating],
        positives: NDArray[np.bool_],
        weights: NDArray[np.float64] | None = None,
    ) -> Ranking:
        """Rank scores (N,) with labels (N,) and, if given, a weight (N,) for each positive.

        Raises:
            ValueError: a score is not finite, or one class is absent.
        """
        if not np.isfinite(scores).all():
            raise ValueError("scores hold values that are not finite")
        if positives.all() or not positives.any():
            raise ValueError("both normal and anomalous samples are needed")
        order = np.argsort(scores)[::-1]
        ranked = scores[order]
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
        true_positives = np.cumsum(positives[order], dtype=np.int64)[last]
        overlap = None if weights is None else np.cumsum(np.where(positives, weights, 0.0)[order])[last]
        return cls(ranked[last], true_positives, last + 1 - true_positives, overlap)

    def rocauc(self) -> float:
        """Area under the ROC curve: the chance that a positive outscores a negative, ties counted half."""
        tp = np.concatenate(([0], self.true_positives))
        fp = np.concatenate(([0], self.false_positives))
        doubled = int(np.dot(np.diff(fp), tp[1:] + tp[:-1]))
        return doubled / (2 * int(tp[-1]) * int(fp[-1]))

    def average_precision(self) -> float:
        """Sum over thresholds of the precision times the gain in recall; no interpolation."""
        precision = self.true_positives / (self.true_positives + self.false_positives)
        gain = np.diff(self.true_positives, prepend=0) / self.true_positives[-1]
        return float(np.dot(gain, precision))

    def f1_max(self) -> tuple[float, float]:
        """The highest F1 on these very samples, and the highest threshold that reaches it."""
        predicted = self.true_positives + self.false_positives
        f1 = 2 * self.true_positives / (predicted + self.true_positives[-1])
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.thresholds[best])

    def pro(self, limit: float = PRO_LIMIT) -> float:
        """Mean overlap integrated over false-positive rates up to `limit`, divided by it."""
        if self.overlap is None:
            raise ValueError("PRO needs the weights of `region_weights`")
        overlap = np.concatenate(([0.0], self.overlap))
        rate = np.concatenate(([0.0], self.false_positives / self.false_positives[-1]))
        end = int(np.searchsorted(rate, limit))
        share = (limit - rate[end - 1]) / (rate[end] - rate[end - 1])
        at_limit = overlap[end - 1] + share * (overlap[end] - overlap[end - 1])
        return float(np.trapezoid(np.append(overlap[:end], at_limit), np.append(rate[:end], limit))) / limit


def region_weights(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (N, H, W): each pixel of a region counts 1 / (regions * the region's area).

    Regions are the 8-connected components of each of the masks (N, H, W). The weights above a threshold sum
    to the mean over regions of the share that is above it.
    """
    labels, regions = ndimage.label(masks, structure=_IN_PLANE)
    areas = np.bincount(labels.ravel())
    areas[0] = 1
    weight = 1.0 / (max(regions, 1) * areas)
    weight[0] = 0.0
    return np.asarray(weight[labels])


def image_metrics(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> dict[str, float]:
    """Metrics of image scores (N,) against labels (N,); ValueError where they are not defined."""
    return _curve_metrics(Ranking.of(scores, anomalous))


def pixel_metrics(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> dict[str, float]:
    """Metrics of anomaly maps (N, R, R) against masks (N, R, R); ValueError where they are not defined."""
    ranking = Ranking.of(maps.ravel(), masks.ravel(), region_weights(masks).ravel())
    return _curve_metrics(ranking) | {"pro": ranking.pro()}


def map_score(anomaly_map: NDArray[np.float32], share: float = 0.01) -> float:
    """Image score by rule `map`: the mean of the highest `share` of the pixels, at least one."""
    count = max(1, math.ceil(share * anomaly_map.size))
    highest = np.partition(anomaly_map.ravel(), -count)[-count:]
    return float(np.sort(highest).mean(dtype=np.float64))


def _curve_metrics(ranking: Ranking) -> dict[str, float]:
    f1, threshold = ranking.f1_max()
    return {
        "rocauc": ranking.rocauc(),
        "average_precision": ranking.average_precision(),
        "f1_max": f1,
        "f1_max_threshold": threshold,
    }
