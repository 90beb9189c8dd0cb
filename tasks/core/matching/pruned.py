"""Exact nearest patches of concatenated pyramids, pruned by the coarse levels.

The squared distance of two concatenated vectors is a sum of one term a level, each at least 0:

    d(p, g) = d_finest(p, g) + sum over coarse levels of |u_p - v_g|²

where u and v are coarse levels brought to the finest grid. Upsampling is linear, so the products of u and v
are the upsampled products of the coarse cells: all coarse terms cost one small matrix product and an
interpolation. They bound d from below; only pairs whose bound is below the best distance found so far are
measured at the finest level, and only those that then seem to win are measured from their differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = 1e-5  # of the norms: more than products in float32 lose
FARTHEST = np.float32(1e38)  # of nothing offered yet: compiled code may take no value for infinite
_ONE = np.float32(1)  # a plain 1 would turn the arithmetic of compiled code into float64
_BLOCK = 64  # positions whose lowest bound is kept


class _Grid(NamedTuple):
    """How each of L coarse levels reaches the finest grid (H, W): two cells, and the share of the second.

    rows (L, 2, H) and columns (L, 2, W) int64; row_shares (L, H) and column_shares (L, W) float32.
    """

    rows: NDArray[np.int64]
    row_shares: NDArray[np.float32]
    columns: NDArray[np.int64]
    column_shares: NDArray[np.float32]


class PrunedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"], kappa: int
    ) -> None:
        """Prepare a query of two or three levels (Hi, Wi, Ci) float32, finest first."""
        self._centres = [level.mean(dim=(0, 1)) for level in levels]
        self._finest, self._coarse = self._centred(levels)
        height, width, _ = self._finest.shape
        self._grid = _grid([level.shape for level in self._coarse], height, width, upsampling)
        self._upsamplers = [
            -2 * _upsampler(cells, shares, level.shape[1])
            for cells, shares, level in zip(
                self._grid.columns, self._grid.column_shares, self._coarse, strict=True
            )
        ]
        self._norms = _norms(self._coarse, height, width, self._grid)
        self._best = np.full((height, width, kappa), FARTHEST, dtype=np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        finest, coarse = self._centred(levels)
        height, width, _ = finest.shape
        tables = tuple(
            _products(query, level, upsampler)
            for query, level, upsampler in zip(self._coarse, coarse, self._upsamplers, strict=True)
        )
        norms = _norms(coarse, height, width, self._grid)
        _visit(
            self._best,
            self._finest,
            finest,
            self._coarse,
            coarse,
            tables,
            self._norms,
            norms.ravel(),
            self._grid,
        )

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best

    def _centred(
        self, levels: Sequence[Tensor]
    ) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """The finest level and the others, less the query's means: distances stay, rounding shrinks."""
        finest, *coarse = (
            (level - centre).contiguous().numpy() for level, centre in zip(levels, self._centres, strict=True)
        )
        return finest, tuple(coarse)


def _products(
    query: NDArray[np.float32], gallery: NDArray[np.float32], columns: Tensor
) -> NDArray[np.float32]:
    """-2 times the products (h, w, h * W) of a coarse level's cells, the gallery's columns upsampled."""
    height, width, channels = query.shape
    left, right = torch.from_numpy(query).view(-1, channels), torch.from_numpy(gallery).view(-1, channels)
    table = (left @ right.T).view(-1, width) @ columns
    return table.view(height, width, -1).numpy()


def _grid(
    shapes: Sequence[Sequence[int]], height: int, width: int, upsampling: Literal["bilinear", "nearest"]
) -> _Grid:
    axes = [
        [_axis(shape[axis], size, upsampling) for shape in shapes] for axis, size in ((0, height), (1, width))
    ]
    (rows, row_shares), (columns, column_shares) = (
        (np.stack([cells for cells, _ in axis]), np.stack([shares for _, shares in axis])) for axis in axes
    )
    return _Grid(rows, row_shares, columns, column_shares)


def _axis(
    cells: int, size: int, upsampling: Literal["bilinear", "nearest"]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The two cells that each of `size` positions lies between (2, size), and the second's share (size,)."""
    if upsampling == "nearest":
        first = np.arange(size) * cells // size
        return np.stack([first, first]), np.zeros(size, np.float32)
    centres = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    first = centres.astype(np.int64)
    return np.stack([first, np.minimum(first + 1, cells - 1)]), (centres - first).astype(np.float32)


def _upsampler(cells: NDArray[np.int64], shares: NDArray[np.float32], size: int) -> Tensor:
    """The matrix (size, positions) that upsamples an axis of `size` cells."""
    matrix = np.zeros((size, len(shares)), np.float32)
    positions = np.arange(len(shares))
    np.add.at(matrix, (cells[0], positions), 1 - shares)
    np.add.at(matrix, (cells[1], positions), shares)
    return torch.from_numpy(matrix)


@numba.njit(fastmath=True, cache=True)
def _upsample(out: Any, level: Any, depth: int, i: int, j: int, grid: Any) -> int:
    """Write the vector of a coarse level at fine position (i, j) to `out`, and return its length."""
    f, e = grid.row_shares[depth, i], grid.column_shares[depth, j]
    rest_f, rest_e = _ONE - f, _ONE - e
    top, bottom = grid.rows[depth, 0, i], grid.rows[depth, 1, i]
    left, right = grid.columns[depth, 0, j], grid.columns[depth, 1, j]
    a, b = level[top, left], level[top, right]
    c, d = level[bottom, left], level[bottom, right]
    for x in range(len(a)):
        out[x] = rest_f * (rest_e * a[x] + e * b[x]) + f * (rest_e * c[x] + e * d[x])
    return len(a)


@numba.njit(parallel=True, fastmath=True, cache=True)
def _norms(levels: Any, height: int, width: int, grid: Any) -> Any:
    """Squared norms (H, W) of the upsampled coarse levels."""
    norms = np.zeros((height, width), np.float32)
    for i in numba.prange(height):
        for depth in range(len(levels)):
            vector = np.empty(levels[depth].shape[2], np.float32)
            for j in range(width):
                total = np.float32(0)
                for x in range(_upsample(vector, levels[depth], depth, i, j, grid)):
                    total += vector[x] * vector[x]
                norms[i, j] += total
    return norms


@numba.njit(fastmath=True, cache=True)
def _blend(out: Any, a: Any, b: Any, share: Any) -> None:
    """Write (1 - share) a + share b."""
    rest = _ONE - share
    for x in range(len(out)):
        out[x] = rest * a[x] + share * b[x]


@numba.njit(fastmath=True, cache=True)
def _bound(bounds: Any, lowest: Any, norms: Any, a: Any, b: Any, f: Any, c: Any, d: Any, e: Any) -> None:
    """Write norms + (1 - f) a + f b + (1 - e) c + e d, and the lowest of each block."""
    rest_f, rest_e = _ONE - f, _ONE - e
    for x in range(len(bounds)):
        bounds[x] = norms[x] + (rest_f * a[x] + f * b[x]) + (rest_e * c[x] + e * d[x])
    for block in range(len(lowest)):
        low = bounds[block * _BLOCK]
        for x in range(block * _BLOCK, min((block + 1) * _BLOCK, len(bounds))):
            low = min(low, bounds[x])
        lowest[block] = low


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


@numba.njit(parallel=True, fastmath=True, cache=True)
def _visit(
    best: Any,
    query: Any,
    gallery: Any,
    coarse_query: Any,
    coarse_gallery: Any,
    tables: Any,
    query_norms: Any,
    gallery_norms: Any,
    grid: Any,
) -> None:
    """Improve `best` (H, W, kappa) by the patches of one image; `tables` are those of `_products`."""
    height, width, _ = query.shape
    size = height * width
    levels = len(tables)
    widest = max([table.shape[1] for table in tables])
    deepest = max([level.shape[2] for level in coarse_query])
    largest = gallery_norms.max()
    blocks = (size + _BLOCK - 1) // _BLOCK
    for i in numba.prange(height):
        of_row = np.zeros((2, widest, size), np.float32)
        for depth in range(levels):
            table, f = tables[depth], grid.row_shares[depth, i]
            upper, lower = table[grid.rows[depth, 0, i]], table[grid.rows[depth, 1, i]]
            cells = np.empty(table.shape[2], np.float32)
            for column in range(table.shape[1]):
                _blend(cells, upper[column], lower[column], f)
                for r in range(height):
                    above, below = grid.rows[depth, 0, r] * width, grid.rows[depth, 1, r] * width
                    _blend(
                        of_row[depth, column, r * width : (r + 1) * width],
                        cells[above : above + width],
                        cells[below : below + width],
                        grid.row_shares[depth, r],
                    )
        bounds = np.empty(size, np.float32)
        lowest = np.empty(blocks, np.float32)
        u, v = np.empty(deepest, np.float32), np.empty(deepest, np.float32)
        for j in range(width):
            _bound(
                bounds,
                lowest,
                gallery_norms,
                of_row[0, grid.columns[0, 0, j]],
                of_row[0, grid.columns[0, 1, j]],
                grid.column_shares[0, j],
                of_row[1, grid.columns[levels - 1, 0, j]],
                of_row[1, grid.columns[levels - 1, 1, j]],
                grid.column_shares[levels - 1, j],
            )
            nearest = best[i, j]
            norm = query_norms[i, j]
            slack = np.float32(ROUNDING) * (norm + largest)
            start = int(lowest.argmin())
            for visit in range(-1, blocks):
                block = start if visit == -1 else visit
                limit = nearest[-1] + slack - norm
                if lowest[block] >= limit or visit == start:
                    continue
                for x in range(block * _BLOCK, min((block + 1) * _BLOCK, size)):
                    if bounds[x] < limit:
                        r, c = x // width, x % width
                        finest = squared_difference(query[i, j], gallery[r, c])
                        if bounds[x] + finest < limit:
                            exact = finest
                            for depth in range(levels):
                                length = _upsample(u, coarse_query[depth], depth, i, j, grid)
                                _upsample(v, coarse_gallery[depth], depth, r, c, grid)
                                exact += squared_difference(u[:length], v[:length])
                            if exact < nearest[-1]:
                                insert(nearest, exact)
                                limit = nearest[-1] + slack - norm
