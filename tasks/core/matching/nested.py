"""Exact nearest patches of pyramids whose coarse cells are repeated over their children.

With nearest upsampling and grids that divide each other, all children of a pair of cells share its terms:

    d(p, g) = d_finest(p, g) + d_middle(parents of p, g) + d_coarsest(grandparents of p, g)

Every term is at least 0, so a pair of cells is entered only while its terms are below the worst best distance
of the query's children: a branch and bound over the pyramid, coarse to fine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.kernels import FARTHEST, ROUNDING, insert, squared_difference


def is_nested(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether two or three levels (H, W, C), finest first, have grids that divide each other."""
    return len(shapes) in (2, 3) and all(
        fine[axis] % coarse[axis] == 0 for fine, coarse in pairwise(shapes) for axis in (0, 1)
    )


class NestedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(self, levels: Sequence[Tensor], kappa: int) -> None:
        """Prepare a query of nested levels (Hi, Wi, Ci) float32, finest first."""
        self._levels = _three(levels)
        self._centre = levels[-1].mean(dim=(0, 1))
        self._cells = (levels[-1] - self._centre).flatten(0, 1)
        self._norms = self._cells.square().sum(dim=1, keepdim=True)
        self._best = np.full((*levels[0].shape[:2], kappa), FARTHEST, dtype=np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        cells = (levels[-1] - self._centre).flatten(0, 1)
        norms = cells.square().sum(dim=1)
        bounds = self._norms + norms - 2 * (self._cells @ cells.T)
        slack = np.float32(ROUNDING * float(self._norms.max() + norms.max()))
        _descend(self._best, bounds.numpy(), slack, *self._levels, *_three(levels))

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best


def _three(levels: Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Finest, middle and coarsest level; of two, the middle one has the coarsest's cells and no channels."""
    arrays = [level.numpy() for level in levels]
    return arrays if len(arrays) == 3 else [arrays[0], arrays[1][:, :, :0].copy(), arrays[1]]


@numba.njit(fastmath=True, cache=True)
def _worst(best: Any, i: int, j: int, rows: int, columns: int) -> Any:
    """The largest of the last of `best` over the children of cell (i, j)."""
    worst = np.float32(0)
    for p in range(i * rows, (i + 1) * rows):
        for q in range(j * columns, (j + 1) * columns):
            worst = max(worst, best[p, q, -1])
    return worst


@numba.njit(fastmath=True, cache=True)
def _measure(
    best: Any, fine: Any, other: Any, i: int, j: int, k: int, m: int, rows: int, columns: int, above: Any
) -> bool:
    """Measure the children of cell (i, j) against those of (k, m); `above` are the terms that all share."""
    found = False
    for p in range(i * rows, (i + 1) * rows):
        for q in range(j * columns, (j + 1) * columns):
            nearest = best[p, q]
            if above < nearest[-1]:
                for r in range(k * rows, (k + 1) * rows):
                    for c in range(m * columns, (m + 1) * columns):
                        squared = above + squared_difference(fine[p, q], other[r, c])
                        if squared < nearest[-1]:
                            insert(nearest, squared)
                            found = True
    return found


@numba.njit(parallel=True, fastmath=True, cache=True)
def _descend(
    best: Any,
    bounds: Any,
    slack: Any,
    fine: Any,
    middle: Any,
    coarse: Any,
    other_fine: Any,
    other_middle: Any,
    other_coarse: Any,
) -> None:
    """Improve `best` (H, W, kappa) by one image; `bounds` are the squared distances of all coarsest cells."""
    columns = coarse.shape[1]
    middle_rows, middle_columns = middle.shape[0] // coarse.shape[0], middle.shape[1] // columns
    fine_rows, fine_columns = fine.shape[0] // middle.shape[0], fine.shape[1] // middle.shape[1]
    children = middle_rows * middle_columns
    for cell in numba.prange(len(bounds)):
        i, j = cell // columns, cell % columns
        limits = np.empty(children, np.float32)
        for a in range(children):
            p, q = i * middle_rows + a // middle_columns, j * middle_columns + a % middle_columns
            limits[a] = _worst(best, p, q, fine_rows, fine_columns)
        limit = limits.max()
        start = int(bounds[cell].argmin())
        for visit in range(-1, bounds.shape[1]):
            other = start if visit == -1 else visit
            if bounds[cell, other] >= limit + slack or visit == start:
                continue
            k, m = other // columns, other % columns
            above = squared_difference(coarse[i, j], other_coarse[k, m])
            for a in range(children):
                p, q = i * middle_rows + a // middle_columns, j * middle_columns + a % middle_columns
                for b in range(children):
                    if above >= limits[a]:
                        break
                    r, c = k * middle_rows + b // middle_columns, m * middle_columns + b % middle_columns
                    both = above + squared_difference(middle[p, q], other_middle[r, c])
                    if both < limits[a] and _measure(
                        best, fine, other_fine, p, q, r, c, fine_rows, fine_columns, both
                    ):
                        limits[a] = _worst(best, p, q, fine_rows, fine_columns)
            limit = limits.max()
