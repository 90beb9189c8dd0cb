"""Exact nearest patches among those that lie at most some cells away.

A patch has few candidates, (2 R + 1)² an image at most: their differences are summed up, piece by piece for
as long as they stay below the best distance found so far. No products bound them, so rounding loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.pruned import FARTHEST, insert, squared_difference
from tasks.core.matching.pyramid import concatenate

_STEP = 128  # coordinates measured at once


class WindowedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"], kappa: int, radius: int
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci), finest first; `radius` is in cells of the finest."""
        self._upsampling = upsampling
        self._radius = radius
        self._query = self._fused(levels)
        self._best = np.full((*self._query.shape[:2], kappa), FARTHEST, dtype=np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        _visit(self._best, self._query, self._fused(levels), self._radius)

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best

    def _fused(self, levels: Sequence[Tensor]) -> NDArray[np.float32]:
        return concatenate(levels, self._upsampling).contiguous().cpu().numpy()


def fewest_candidates(shape: Sequence[int], radius: int) -> int:
    """How many patches of an image of a grid (H, W, ...) compete for one in its corner."""
    return min(radius + 1, shape[0]) * min(radius + 1, shape[1])


@numba.njit(parallel=True, fastmath=True, cache=True)
def _visit(best: Any, query: Any, gallery: Any, radius: int) -> None:
    """Improve `best` (H, W, kappa) by the patches (H, W, C) of one image."""
    height, width, channels = query.shape
    for i in numba.prange(height):
        for j in range(width):
            nearest, patch = best[i, j], query[i, j]
            for r in range(max(0, i - radius), min(height, i + radius + 1)):
                for c in range(max(0, j - radius), min(width, j + radius + 1)):
                    total = np.float32(0)
                    for start in range(0, channels, _STEP):
                        total += squared_difference(
                            patch[start : start + _STEP], gallery[r, c, start : start + _STEP]
                        )
                        if total >= nearest[-1]:
                            break
                    if total < nearest[-1]:
                        insert(nearest, float(total))
