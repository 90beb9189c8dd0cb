"""What the compiled searches share."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

ROUNDING = 1e-5  # of the norms: more than products in float32 lose
FARTHEST = np.float32(1e38)  # of nothing offered yet: compiled code may take no value for infinite


@numba.njit(fastmath=True, cache=True)
def squared_difference(a: Any, b: Any) -> Any:
    """|a - b|² of vectors of one length."""
    total = np.float32(0)
    for x in range(len(a)):
        total += (a[x] - b[x]) * (a[x] - b[x])
    return total


@numba.njit(fastmath=True, cache=True)
def insert(best: Any, value: float) -> None:
    """Put a value that is below the last of the ascending `best` in its place."""
    place = len(best) - 1
    while place > 0 and best[place - 1] > value:
        best[place] = best[place - 1]
        place -= 1
    best[place] = value
