"""Metrics as public code computes them, where that differs from ours: for figures that it published."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.regions import region_weights

STEPS, LIMIT = 200, 0.3


def stepped_pro(
    pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]], steps: int = STEPS, limit: float = LIMIT
) -> float:
    """PRO of maps (H, W) and masks (H, W) at evenly spaced thresholds, as RD4AD and code after it has it.

    The thresholds run from the lowest score to below the highest; a pixel is found above one. What lies at
    false-positive rates below the limit is integrated, and divided by the highest of them, not by the limit.

    Raises:
        ValueError: there is no region, no normal pixel, or no rate between 0 and the limit.
    """
    normal, found, weights, regions = [], [], [], 0
    for anomaly_map, mask in pairs:
        of_image, count = region_weights(mask)
        normal.append(anomaly_map[~mask])
        found.append(anomaly_map[mask])
        weights.append(of_image)
        regions += count
    negatives, positives = np.sort(np.concatenate(normal)), np.concatenate(found)
    if not regions or not len(negatives):
        raise ValueError("both normal pixels and anomalous regions are needed")
    order = np.argsort(positives)
    positives, shares = positives[order], np.append(0, np.cumsum(np.concatenate(weights)[order]))
    lowest, highest = min(negatives[0], positives[0]), max(negatives[-1], positives[-1])
    thresholds = np.arange(lowest, highest, (highest - lowest) / steps) if highest > lowest else lowest[None]
    rates = 1 - np.searchsorted(negatives, thresholds, side="right") / len(negatives)
    overlaps = (shares[-1] - shares[np.searchsorted(positives, thresholds, side="right")]) / regions
    below = rates < limit
    if not below.any() or not rates[below].max():
        raise ValueError(f"no threshold has a false-positive rate between 0 and {limit}")
    rates, overlaps = rates[below][::-1], overlaps[below][::-1]
    return float(np.trapezoid(overlaps, rates / rates.max()))


def mean_distance(squared: Iterable[float]) -> float:
    """Image score of SPADE-pytorch: the mean of the K distances, where equation 2 has their squares."""
    return float(np.sqrt(np.fromiter(squared, np.float64)).mean())
