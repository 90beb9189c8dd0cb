"""How coarse levels reach the finest grid, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

_ONE = np.float32(1)  # a plain 1 would turn the arithmetic of compiled code into float64


class Grid(NamedTuple):
    """How each of L coarse levels reaches the finest grid (H, W): two cells, and the share of the second.

    rows (L, 2, H) and columns (L, 2, W) int64; row_shares (L, H) and column_shares (L, W) float32. Where the
    two cells are one, the share is 0.
    """

    rows: NDArray[np.int64]
    row_shares: NDArray[np.float32]
    columns: NDArray[np.int64]
    column_shares: NDArray[np.float32]


def grid_of(
    shapes: Sequence[Sequence[int]], height: int, width: int, upsampling: Literal["bilinear", "nearest"]
) -> Grid:
    """The grid of coarse levels (h, w, ...) on the finest grid (H, W)."""
    axes = [
        [_axis(shape[axis], size, upsampling) for shape in shapes] for axis, size in ((0, height), (1, width))
    ]
    (rows, row_shares), (columns, column_shares) = (
        (np.stack([cells for cells, _ in axis]), np.stack([shares for _, shares in axis])) for axis in axes
    )
    return Grid(rows, row_shares, columns, column_shares)


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


@numba.njit(fastmath=True, cache=True)
def cells(grid: Any, depth: int, i: int, j: int, width: int) -> Any:
    """The numbers of the four cells of a level (h, width) that fine position (i, j) lies between."""
    top, bottom = grid.rows[depth, 0, i] * width, grid.rows[depth, 1, i] * width
    left, right = grid.columns[depth, 0, j], grid.columns[depth, 1, j]
    return top + left, top + right, bottom + left, bottom + right


@numba.njit(fastmath=True, cache=True)
def shares(grid: Any, depth: int, i: int, j: int) -> Any:
    """The shares of the four `cells` in the vector at fine position (i, j)."""
    f, e = grid.row_shares[depth, i], grid.column_shares[depth, j]
    return (_ONE - f) * (_ONE - e), (_ONE - f) * e, f * (_ONE - e), f * e


@numba.njit(fastmath=True, cache=True)
def dot(a: Any, b: Any) -> Any:
    """The product of two vectors of one length."""
    total = np.float32(0)
    for x in range(len(a)):
        total += a[x] * b[x]
    return total


@numba.njit(parallel=True, fastmath=True, cache=True)
def near_products(level: Any) -> Any:
    """Products (h * w, 5) of each cell of a level (h, w, C) with itself and cells near it.

    With itself, its right, its lower and its lower right neighbour; last, its right with its lower one.
    """
    height, width, _ = level.shape
    out = np.zeros((height * width, 5), np.float32)
    for i in numba.prange(height):
        for j in range(width):
            near = out[i * width + j]
            near[0] = dot(level[i, j], level[i, j])
            if j + 1 < width:
                near[1] = dot(level[i, j], level[i, j + 1])
            if i + 1 < height:
                near[2] = dot(level[i, j], level[i + 1, j])
            if i + 1 < height and j + 1 < width:
                near[3] = dot(level[i, j], level[i + 1, j + 1])
                near[4] = dot(level[i, j + 1], level[i + 1, j])
    return out


@numba.njit(fastmath=True, cache=True)
def squared_norm(near: Any, numbers: Any, parts: Any) -> Any:
    """Of an upsampled vector, from the `near_products` of its level, its `cells` and their `shares`."""
    a, b, c, d = parts
    p, q, r, s = near[numbers[0]], near[numbers[1]], near[numbers[2]], near[numbers[3]]
    own = a * a * p[0] + b * b * q[0] + c * c * r[0] + d * d * s[0]
    mixed = a * b * p[1] + c * d * r[1] + a * c * p[2] + b * d * q[2] + a * d * p[3] + b * c * p[4]
    return own + mixed + mixed
