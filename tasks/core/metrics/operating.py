"""What a threshold costs on test images: false alarms, misses, and how well pixels are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.intervals import Interval


def binomial_interval(count: int, total: int) -> Interval | None:
    """95 % interval of a share of which `count` of `total` were seen (Clopper and Pearson, Biometrika 1934).

    It covers the true share at least that often, whatever it is. None of nothing.
    """
    from scipy.special import betaincinv

    if not total:
        return None
    low = betaincinv(count, total - count + 1, 0.025) if count else 0.0
    high = betaincinv(count + 1, total - count, 0.975) if count < total else 1.0
    return float(low), float(high)


def attainable(scores: Sequence[float], points: int = 60) -> list[tuple[float, float]]:
    """False-positive rates that N scores of normal images can give, with their thresholds.

    The j-th highest score is the threshold of the rate j / (N + 1), as in `conformal_threshold`. Of more than
    `points` those are taken that lie evenly by log rate.
    """
    count = len(scores)
    ranks = np.arange(1, count + 1)
    if count > points:
        ranks = np.unique(np.geomspace(1, count, points).round().astype(int))
    highest_first = sorted(scores, reverse=True)
    return [(int(rank) / (count + 1), highest_first[rank - 1]) for rank in ranks]


def above(values: NDArray[np.floating], thresholds: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many of the values exceed each of T ascending thresholds, (T,)."""
    exceeded = np.searchsorted(thresholds, values.ravel(), side="left")
    counts = np.bincount(exceeded, minlength=len(thresholds) + 1)
    found: NDArray[np.int64] = np.cumsum(counts[::-1])[::-1][1:]
    return found


@dataclass(frozen=True)
class Segmentation:
    """Pixels of images that exceed each of T thresholds, against their masks.

    Attributes:
        found: (T,) anomalous pixels that do.
        wrong: (T,) normal pixels that do.
        anomalous: all anomalous pixels.
        normal: all normal pixels.
    """

    found: NDArray[np.int64]
    wrong: NDArray[np.int64]
    anomalous: int
    normal: int

    @classmethod
    def of(
        cls, anomaly_map: NDArray[np.floating], mask: NDArray[np.bool_], thresholds: NDArray[np.floating]
    ) -> Segmentation:
        """Of one map (R, R) and its mask (R, R), at ascending thresholds (T,)."""
        anomalous = int(mask.sum())
        found = above(anomaly_map[mask], thresholds)
        return cls(found, above(anomaly_map, thresholds) - found, anomalous, mask.size - anomalous)

    @classmethod
    def none(cls, thresholds: int) -> Segmentation:
        """Of no image, at so many thresholds."""
        nothing = np.zeros(thresholds, np.int64)
        return cls(nothing, nothing, 0, 0)

    def __add__(self, other: Segmentation) -> Segmentation:
        """Of the images of both."""
        return Segmentation(
            self.found + other.found,
            self.wrong + other.wrong,
            self.anomalous + other.anomalous,
            self.normal + other.normal,
        )

    def f1(self, place: int) -> float | None:
        """F1 of pixels at the threshold of that place; None where no pixel is anomalous."""
        if not self.anomalous:
            return None
        found, wrong = int(self.found[place]), int(self.wrong[place])
        return 2 * found / (found + wrong + self.anomalous)

    def false_positive_rate(self, place: int) -> float | None:
        """Share of the normal pixels that exceed the threshold of that place."""
        return int(self.wrong[place]) / self.normal if self.normal else None
