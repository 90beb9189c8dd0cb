"""Exact nearest patches among those that lie at most some cells away.

A patch has few candidates, (2 R + 1)² an image at most: their differences are summed up, piece by piece for
as long as they stay below the best distance found so far. No products bound them, so rounding loses nothing.
That takes so little that reading counts: a level in float16 is read strip by strip, as it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.kernels import FARTHEST, insert, squared_difference
from tasks.core.matching.pyramid import concatenate

_STRIP = 7  # rows that are read and compared by one thread
_STEP = 128  # coordinates measured at once
_HALF_TO_SINGLE = np.float32(2.0**112)  # exponents are 112 apart
_SIGN, _REST = np.uint32(0x8000), np.uint32(0x7FFF)  # of the bits of a half
_TINY = np.float32(np.finfo(np.float32).tiny)


class WindowedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(
        self,
        levels: Sequence[Tensor],
        upsampling: Literal["bilinear", "nearest"],
        kappa: int,
        radius: int,
        *,
        unit: bool = False,
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci) float32, finest first; `radius` is in cells of the finest.

        `unit` says whether vectors of a level offered in float16 are to be brought to length 1, as the
        query's are.
        """
        self._upsampling = upsampling
        self._radius = radius
        self._unit = unit
        self._query = self._fused(levels)
        height, width, channels = self._query.shape
        self._best = np.full((height, width, kappa), FARTHEST, dtype=np.float32)
        rows = min(height, _STRIP + 2 * radius)
        self._strips = np.empty((-(-height // _STRIP), rows, width, channels), np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete: levels in float32, as the query's, or one level in float16."""
        if levels[0].dtype == torch.float16:
            halves = levels[0].contiguous().cpu().numpy().view(np.uint16)
            bits = self._strips.view(np.uint32)
            _read_and_visit(self._best, self._query, halves, self._strips, bits, self._radius, self._unit)
        else:
            _visit(self._best, self._query, self._fused(levels), self._radius)

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best

    def _fused(self, levels: Sequence[Tensor]) -> NDArray[np.float32]:
        """Patch vectors (H, W, C)."""
        joined = levels[0] if len(levels) == 1 else concatenate(levels, self._upsampling)
        return joined.contiguous().cpu().numpy()


def fewest_candidates(shape: Sequence[int], radius: int) -> int:
    """How many patches of an image of a grid (H, W, ...) compete for one in its corner."""
    return min(radius + 1, shape[0]) * min(radius + 1, shape[1])


@numba.njit(parallel=True, fastmath=True, cache=True)
def _visit(best: Any, query: Any, gallery: Any, radius: int) -> None:
    """Improve `best` (H, W, kappa) by the patches (H, W, C) of one image."""
    for i in numba.prange(len(query)):
        _visit_row(best, query, gallery, i, 0, radius)


@numba.njit(parallel=True, fastmath=True, cache=True)
def _read_and_visit(
    best: Any, query: Any, halves: Any, strips: Any, bits: Any, radius: int, unit: bool
) -> None:
    """The same by an image in float16, as its bits; `strips` is where rows are widened, `bits` its bits."""
    height = len(query)
    for number in numba.prange(len(strips)):
        start, stop = number * _STRIP, min(height, (number + 1) * _STRIP)
        first = max(0, start - radius)
        for row in range(first, min(height, stop + radius)):
            for j in range(halves.shape[1]):
                vector = strips[number, row - first, j]
                _widen(bits[number, row - first, j], vector, halves[row, j])
                if unit:
                    _shorten(vector)
        for i in range(start, stop):
            _visit_row(best, query, strips[number], i, first, radius)


@numba.njit(fastmath=True, cache=True)
def _visit_row(best: Any, query: Any, gallery: Any, i: int, first: int, radius: int) -> None:
    """Improve a row of `best`; the rows of `gallery` are those from `first` on."""
    height, width, channels = query.shape
    for j in range(width):
        nearest, patch = best[i, j], query[i, j]
        for r in range(max(0, i - radius), min(height, i + radius + 1)):
            for c in range(max(0, j - radius), min(width, j + radius + 1)):
                other = gallery[r - first, c]
                total = np.float32(0)
                for start in range(0, channels, _STEP):
                    total += squared_difference(patch[start : start + _STEP], other[start : start + _STEP])
                    if total >= nearest[-1]:
                        break
                if total < nearest[-1]:
                    insert(nearest, float(total))


@numba.njit(fastmath=True, cache=True)
def _widen(bits: Any, values: Any, halves: Any) -> None:
    """Write finite float16 numbers, as their bits, to `values` float32, whose bits are `bits`.

    Sign, exponent and fraction move to their places, and the exponent is put right, exactly.
    """
    for x in range(len(halves)):
        wide = np.uint32(halves[x])
        bits[x] = (wide & _SIGN) << np.uint32(16) | (wide & _REST) << np.uint32(13)
    for x in range(len(halves)):
        values[x] *= _HALF_TO_SINGLE


@numba.njit(fastmath=True, cache=True)
def _shorten(vector: Any) -> None:
    """Bring a vector to length 1; one of length 0 stays."""
    total = np.float32(0)
    for x in range(len(vector)):
        total += vector[x] * vector[x]
    factor = np.float32(1) / max(np.sqrt(total), _TINY)
    for x in range(len(vector)):
        vector[x] *= factor
