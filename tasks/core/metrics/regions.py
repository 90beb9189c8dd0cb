"""Weights of anomalous pixels, so that those above a threshold sum to the share of regions that is found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def region_weights(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """One over the area of its region for each anomalous pixel of a mask (H, W), and the number of regions.

    Regions are 8-connected. Divided by the regions of all masks, the weights above a threshold sum to the
    mean over regions of the share that is above it.
    """
    from scipy import ndimage

    labels, regions = ndimage.label(mask, structure=_EIGHT_CONNECTED)
    found = labels[mask]
    return 1 / np.bincount(found, minlength=1)[found], int(regions)


def saturated_weights(
    anomaly_map: NDArray[np.floating], defects: Sequence[NDArray[np.bool_]], areas: Sequence[float]
) -> NDArray[np.float64]:
    """Weights (H, W) by which the overlap is saturated: a defect is found whole once `area` of it is found.

    `defects` are masks (H, W), each of one defect with its saturation area in pixels, at most its own: of its
    pixels those that score highest share a weight of 1, and more of it counts no more. Masks may overlap; a
    defect without a pixel weighs nothing. With the weights of all images divided by the number of defects,
    `Ranking.pro` is the sPRO of Bergmann et al., "Beyond Dents and Scratches", IJCV 130, 2022.

    Raises:
        ValueError: an area is not above 0.
    """
    weights = np.zeros(anomaly_map.shape)
    for mask, area in zip(defects, areas, strict=True):
        if not area > 0:
            raise ValueError(f"a saturation area of {area} pixels: it is above 0")
        size = int(mask.sum())
        area = min(area, size)
        order = np.argsort(-anomaly_map[mask], kind="stable")
        shares = np.zeros(size)
        shares[order] = np.clip(area - np.arange(size), 0, 1) / area
        weights[mask] += shares
    return weights
