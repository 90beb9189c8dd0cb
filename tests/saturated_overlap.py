"""sPRO in plain loops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from plain_curves import mean_height

Masks = list[list[NDArray[np.bool_]]]


def spro_oracle(maps: NDArray[np.float32], defects: Masks, areas: list[list[float]], limit: float) -> float:
    """At every threshold the mean over defects of min(pixels found / saturation area, 1), to the limit."""
    empty = np.zeros(maps.shape[1:], dtype=bool)
    anomalous = np.array([np.any([empty, *masks], axis=0) for masks in defects])
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        above = maps >= threshold
        shares = [
            min((above[image] & mask).sum() / min(area, mask.sum()), 1.0)
            for image, masks in enumerate(defects)
            for mask, area in zip(masks, areas[image], strict=True)
        ]
        points.append((float(above[~anomalous].mean()), float(np.mean(shares))))
    return mean_height(points, limit)
