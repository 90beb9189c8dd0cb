"""sPRO in plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit < x1:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
    return area / limit
