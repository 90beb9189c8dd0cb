"""Areas under curves in plain loops."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def mean_height(points: Sequence[tuple[float, float]], limit: float) -> float:
    """Trapezoids between points (x, y) from x = 0, in order, to the limit, divided by it."""
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit < x1:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
    return area / limit
