"""How sure a metric is, and whether a difference on the same images is more than chance: 95 % intervals.

What is left to chance is which images were taken: they are the unit of DeLong's method for image ROCAUC, and
of the bootstrap for metrics of pixels (`bootstrap.py`), which are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_Z = NormalDist().inv_cdf(0.975)
_POWER_Z = _Z + NormalDist().inv_cdf(0.8)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """A difference of a metric on the same images.

    Attributes:
        value: one less the other.
        low, high: its 95 % interval.
        p_value: two-sided, of no difference.
        detectable: the difference that as many images show, at a level of 5 %, 8 times in 10: 2.80 standard
            errors, normal approximation. None where nothing varies.
    """

    value: float
    low: float
    high: float
    p_value: float
    detectable: float | None


def delong(
    scores: NDArray[np.float64], anomalous: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ROCAUCs (S,) of S scores (S, N) of the same images with labels (N,), and their covariance (S, S).

    DeLong et al. 1988, equations 3 to 6, in the time of a sort as in Sun and Xu 2014, algorithm 2: the share
    of the other class that an image outscores, ties counted half, is a difference of two mid-ranks.

    Raises:
        ValueError: fewer than two images of a class, whose spread would be unknown.
    """
    from scipy.stats import rankdata

    positives, negatives = scores[:, anomalous], scores[:, ~anomalous]
    m, n = positives.shape[1], negatives.shape[1]
    if min(m, n) < 2:
        raise ValueError(
            f"{m} anomalous and {n} normal images: two of each are needed to see how they spread"
        )
    ranks = rankdata(np.concatenate([positives, negatives], axis=1), axis=1)
    of_positives = (ranks[:, :m] - rankdata(positives, axis=1)) / n
    of_negatives = 1 - (ranks[:, m:] - rankdata(negatives, axis=1)) / m
    covariance = _covariance(of_positives) / m + _covariance(of_negatives) / n
    return of_positives.mean(axis=1), covariance


def rocauc_interval(area: float, variance: float, positives: int, negatives: int) -> Interval:
    """95 % interval of a ROCAUC, from DeLong's variance and the number of images of each class.

    Symmetric on the logit scale: so it stays within 0 and 1, and covers better than the plain one near 1.
    Where no image is out of order the variance is 0, which says nothing of the next image: there it is
    Newcombe's score interval (Statistics in Medicine 2006, part 2, method 5), which needs no variance.
    """
    if variance > 0:
        logit = math.log(area / (1 - area))
        half = _Z * math.sqrt(variance) / (area * (1 - area))
        return _expit(logit - half), _expit(logit + half)
    from scipy.optimize import brentq

    extra = (positives + negatives) / 2 - 1

    def beyond(true: float) -> float:
        spread = true * (1 - true) * (1 + extra * ((1 - true) / (2 - true) + true / (1 + true)))
        return (area - true) ** 2 - _Z**2 * spread / (positives * negatives)

    tiny = 1e-12
    low = brentq(beyond, 0, min(area, 1 - tiny)) if area > 0 else 0.0
    high = brentq(beyond, max(area, tiny), 1) if area < 1 else 1.0
    return low, high


def interval_of(scores: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> Interval:
    """95 % interval of the ROCAUC of scores (N,) of images with labels (N,): `rocauc_interval` by `delong`.

    Raises:
        ValueError: fewer than two images of a class.
    """
    areas, covariance = delong(scores[None], anomalous)
    positives = int(anomalous.sum())
    return rocauc_interval(float(areas[0]), float(covariance[0, 0]), positives, len(anomalous) - positives)


def rocauc_difference(
    first: NDArray[np.float64], second: NDArray[np.float64], anomalous: NDArray[np.bool_]
) -> Difference:
    """The ROCAUC of scores (N,) less that of other scores of the same images, by their covariance.

    Raises:
        ValueError: fewer than two images of a class.
    """
    areas, covariance = delong(np.stack([first, second]), anomalous)
    value = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    error = math.sqrt(max(variance, 0.0))
    return difference(value, error, (max(value - _Z * error, -1.0), min(value + _Z * error, 1.0)))


def difference(value: float, error: float, interval: Interval) -> Difference:
    """A difference with its interval, tested against none by its standard error: normal approximation."""
    p_value = math.erfc(abs(value) / error / math.sqrt(2)) if error > 0 else float(value == 0)
    return Difference(value, *interval, p_value, _POWER_Z * error if error > 0 else None)


def mean_interval(values: Sequence[float], intervals: Sequence[Interval]) -> Interval:
    """95 % interval of the mean of independent estimates, from each one's: other images of these categories.

    The distances to the ends are combined as standard errors are, those below and those above apart (Zou and
    Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 2008).
    """
    mean, count = math.fsum(values) / len(values), len(values)
    below, above = (
        math.hypot(*(value - ends[side] for value, ends in zip(values, intervals, strict=True))) / count
        for side in (0, 1)
    )
    return mean - below, mean + above


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of hypotheses that are tested together, adjusted for their number (Holm 1979), in their order.

    Rejecting those below a level rejects a true hypothesis at all with a probability of at most that level,
    however they depend on each other.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.array(p_values)[order] * factors), 1)
    found: list[float] = adjusted.tolist()
    return found


def _covariance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of S rows (S, N) with each other, (S, S)."""
    centred = values - values.mean(axis=1, keepdims=True)
    product: NDArray[np.float64] = centred @ centred.T / (values.shape[1] - 1)
    return product


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
