"""Bootstrap over images for metrics of pixels: intervals of one profile, and paired differences of two."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.intervals import Difference, Interval, difference
from tasks.core.metrics.pimo import HIGHEST_RATE, found_share
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import PRO_LIMIT, STRICT_PRO_LIMIT

REPLICATES = 1000
_BLOCK = 250  # replicates evaluated at once


def pixel_intervals(
    exact: Mapping[str, float], profile: Profile, *, seed: int = 0
) -> dict[str, Interval] | None:
    """95 % intervals of metrics of a profile, by measure.

    `exact` holds the metrics, which the intervals are moved to: bins blur a metric a little, and its spread
    hardly. Images with and without anomalous pixels are resampled apart from each other, so that each
    replicate has as many of either as the test set. None if one kind has a single image, whose spread is
    unknown.
    """
    weights = resample(profile, REPLICATES, seed)
    if weights is None:
        return None
    found = _moved(exact, replicate(profile, weights), replicate(profile, _once(weights)))
    return {name: _interval(values, 0.0) for name, values in found.items()}


def pixel_differences(
    exact: Mapping[str, float], profile: Profile, reference: Profile, *, seed: int = 0
) -> dict[str, Difference] | None:
    """Differences of metrics of two profiles of the same images, taken from the same resampled images.

    `exact` holds the differences, by measure. The p-value is that of the standard error of the replicates.
    None as above.
    """
    weights = resample(profile, REPLICATES, seed)
    if weights is None:
        return None
    paired, whole = (_paired(profile, reference, taken) for taken in (weights, _once(weights)))
    return {
        name: difference(exact[name], float(values.std()), _interval(values, -1.0))
        for name, values in _moved(exact, paired, whole).items()
    }


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
    """Metrics by measure, (R,) each, of the images taken as often as weights (R, N) say.

    Within a bin the scores count as spread evenly: ROCAUC takes them for ties, PRO for a straight line, and
    AUPIMO for the mean of the bin's ends.
    """
    blocks = [
        _replicate(profile, weights[first : first + _BLOCK]) for first in range(0, len(weights), _BLOCK)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _paired(
    profile: Profile, reference: Profile, weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    found, others = replicate(profile, weights), replicate(reference, weights)
    return {name: found[name] - others[name] for name in found.keys() & others.keys()}


def _replicate(profile: Profile, weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    negatives, positives = weights @ profile.negatives, weights @ profile.positives
    above = np.cumsum(negatives, axis=1)
    total = above[:, -1:]
    beaten = (positives * (total - above + negatives / 2)).sum(axis=1)
    gained = weights @ profile.overlap / (weights @ profile.regions)[:, None]
    found = {
        "rocauc": beaten / (total[:, 0] * positives.sum(axis=1)),
        "pro": _pro(negatives, gained, PRO_LIMIT),
        "pro_05": _pro(negatives, gained, STRICT_PRO_LIMIT),
    }
    if (profile.regions == 0).any():
        found["aupimo"] = _aupimo(profile, weights)
    return found


def _pro(negatives: NDArray[np.float64], gained: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """PRO (R,) of bins with so many normal pixels, and so much overlap to gain, (R, B) each."""
    above = np.cumsum(negatives, axis=1)
    total = above[:, -1:]
    bins = _reached(above - negatives, total, limit)
    width, start = negatives[:, :bins] / total, (above - negatives)[:, :bins] / total
    gained = gained[:, :bins]
    found = np.cumsum(gained, axis=1) - gained
    within = np.clip(limit - start, 0, width)
    share = np.divide(within, width, out=np.zeros_like(width), where=width > 0)
    area: NDArray[np.float64] = (within * (found + gained * share / 2)).sum(axis=1) / limit
    return area


def _aupimo(profile: Profile, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    anomalous = profile.regions > 0
    counts = weights[:, ~anomalous] @ profile.negatives[~anomalous]
    above = np.cumsum(counts, axis=1)
    total = above[:, -1:]
    bins = _reached(above - counts, total, HIGHEST_RATE)
    above, counts = above[:, :bins], counts[:, :bins]
    found = (found_share(above / total) + found_share((above - counts) / total)) / 2
    pixels = profile.positives[anomalous]
    shares = weights[:, anomalous] @ (pixels[:, :bins] / pixels.sum(axis=1, keepdims=True))
    mean: NDArray[np.float64] = (shares * found).sum(axis=1) / weights[:, anomalous].sum(axis=1)
    return mean


def _reached(start: NDArray[np.float64], total: NDArray[np.float64], limit: float) -> int:
    """How many bins (R, B) begin below a false-positive rate in any replicate: the rest has no part in it."""
    return int((start < limit * total).any(axis=0).sum())


def _once(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each image taken once, (1, N)."""
    return np.ones((1, weights.shape[1]))


def _moved(
    exact: Mapping[str, float],
    found: Mapping[str, NDArray[np.float64]],
    whole: Mapping[str, NDArray[np.float64]],
) -> dict[str, NDArray[np.float64]]:
    """Replicates of what is asked for, moved from what the bins give of the whole to what is exact."""
    return {name: found[name] + (value - whole[name][0]) for name, value in exact.items()}


def _interval(values: NDArray[np.float64], lowest: float) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return max(float(low), lowest), min(float(high), 1.0)
