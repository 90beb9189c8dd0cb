"""How sure a metric is, and whether a difference on the same images is more than chance: 95 % intervals.

What is left to chance is which images were taken: they are the unit of DeLong's method for image ROCAUC, and
of the bootstrap for pixel ROCAUC and PRO, whose pixels are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import PRO_LIMIT

REPLICATES = 1000
_BLOCK = 250  # replicates evaluated at once
_Z = NormalDist().inv_cdf(0.975)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """A difference of two ROCAUCs, its 95 % interval, and the two-sided p-value of none."""

    value: float
    low: float
    high: float
    p_value: float


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
    half = _Z * math.sqrt(max(variance, 0.0))
    p_value = math.erfc(abs(value) / half * _Z / math.sqrt(2)) if half > 0 else float(value == 0)
    return Difference(value, max(value - half, -1.0), min(value + half, 1.0), p_value)


def pixel_intervals(
    exact: Mapping[str, float], profile: Profile, reference: Profile | None = None, *, seed: int = 0
) -> dict[str, Interval] | None:
    """95 % bootstrap intervals of the `rocauc` and `pro` of a profile; or of its difference from another.

    `exact` holds the metrics, or with `reference` their differences, which the intervals are moved to: bins
    blur a metric a little, and its spread hardly. With `reference` both are taken from the same resampled
    images. Images with and without anomalous pixels are resampled apart from each other, so that each
    replicate has as many of either as the test set. None if one kind has a single image, whose spread is
    unknown.
    """
    weights = resample(profile, REPLICATES, seed)
    if weights is None:
        return None
    found = replicate(profile, weights)
    whole = replicate(profile, np.ones((1, weights.shape[1])))
    if reference is not None:
        for name, values in replicate(reference, weights).items():
            found[name] = found[name] - values
        for name, values in replicate(reference, np.ones((1, weights.shape[1]))).items():
            whole[name] = whole[name] - values
    lowest = 0.0 if reference is None else -1.0
    intervals = {}
    for name, value in exact.items():
        low, high = np.quantile(found[name], [0.025, 0.975]) + (value - whole[name][0])
        intervals[name] = (max(float(low), lowest), min(float(high), 1.0))
    return intervals


def resample(profile: Profile, replicates: int, seed: int) -> NDArray[np.float64] | None:
    """How often each image is drawn, (R, N) with R at most `replicates`; None if a kind has one image alone.

    Images with anomalous pixels are drawn from among themselves, and so are those without. A replicate that
    has no normal pixel is left out.
    """
    rng = np.random.default_rng(seed)
    anomalous = profile.regions > 0
    weights = np.zeros((replicates, len(anomalous)))
    for kind in (anomalous, ~anomalous):
        count = int(kind.sum())
        if count == 1:
            return None
        if count:
            weights[:, kind] = rng.multinomial(count, np.full(count, 1 / count), size=replicates)
    usable: NDArray[np.float64] = weights[weights @ profile.negatives.sum(axis=1) > 0]
    return usable


def replicate(profile: Profile, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """`rocauc` and `pro`, (R,) each, of the images taken as often as weights (R, N) say.

    Within a bin the scores count as spread evenly: ROCAUC takes them for ties, PRO for a straight line.
    """
    blocks = [
        _replicate(profile, weights[first : first + _BLOCK]) for first in range(0, len(weights), _BLOCK)
    ]
    rocauc, pro = (np.concatenate(values) for values in zip(*blocks, strict=True))
    return {"rocauc": rocauc, "pro": pro}


def _replicate(
    profile: Profile, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    negatives, positives = weights @ profile.negatives, weights @ profile.positives
    above = np.cumsum(negatives, axis=1)
    total = above[:, -1:]
    beaten = (positives * (total - above + negatives / 2)).sum(axis=1)
    rocauc = beaten / (total[:, 0] * positives.sum(axis=1))

    width = negatives / total
    start = (above - negatives) / total
    gained = weights @ profile.overlap / (weights @ profile.regions)[:, None]
    found = np.cumsum(gained, axis=1) - gained
    within = np.clip(PRO_LIMIT - start, 0, width)
    share = np.divide(within, width, out=np.zeros_like(width), where=width > 0)
    pro = (within * (found + gained * share / 2)).sum(axis=1) / PRO_LIMIT
    return rocauc, pro


def _covariance(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of S rows (S, N) with each other, (S, S)."""
    centred = values - values.mean(axis=1, keepdims=True)
    product: NDArray[np.float64] = centred @ centred.T / (values.shape[1] - 1)
    return product


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value > -700 else 0.0
