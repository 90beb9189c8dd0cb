"""Exact nearest patches of one level, pruned in rotated coordinates.

An orthogonal rotation keeps distances. Along the principal axes of the query's patches the first few
coordinates hold most of a distance, and the rest is at least the difference of the residual norms:

    |p - g|² >= |p' - g'|² + (|p''| - |g''|)²      (p' the first coordinates of p, p'' the others)

As a product of few channels this bounds all pairs from below. Only pairs whose bound is below the best
distance so far are measured, coordinate by coordinate for as long as they stay below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.pruned import FARTHEST, ROUNDING, insert, squared_difference

_HEAD = 8  # coordinates in the bound
_TILE = 448  # patches whose bounds stay in cache
_BLOCK = 32  # patches whose lowest bound is kept
_QUERIES = 64  # that visit a tile one after the other
_STEP = 32  # coordinates measured at once


class RotatedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(self, levels: Sequence[Tensor], kappa: int) -> None:
        """Prepare a query of one level (H, W, C) float32."""
        (level,) = levels
        self._shape = (*level.shape[:2], kappa)
        self._centre = level.mean(dim=(0, 1))
        self._rows = (level - self._centre).flatten(0, 1)
        self._axes = torch.linalg.eigh(self._rows.T @ self._rows).eigenvectors.flip(1)
        self._rotated = self._rows @ self._axes
        self._heads = -2 * _heads(self._rotated)
        self._norms = self._rows.square().sum(dim=1)
        self._best = np.full((len(self._rows), kappa), FARTHEST, dtype=np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        (level,) = levels
        rows = (level - self._centre).flatten(0, 1)
        rotated = rows @ self._axes
        norms = rows.square().sum(dim=1)
        _visit(
            self._best,
            self._rows.numpy(),
            self._rotated.numpy(),
            self._heads.numpy(),
            self._norms.numpy(),
            rows.numpy(),
            rotated.numpy(),
            _tiles(rotated, norms),
            float(norms.max()),
        )

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best.reshape(self._shape)


def is_worth_rotating(shape: Sequence[int]) -> bool:
    """Whether a level (H, W, C) has so many patches that finding its axes pays."""
    height, width, channels = shape
    return height * width >= 4 * channels


def _heads(rotated: Tensor) -> Tensor:
    """The first coordinates (P, 8) of vectors (P, C), 0 where there are fewer; last, the norm of the rest."""
    heads = rotated.new_zeros(len(rotated), _HEAD + 1)
    first = min(_HEAD, rotated.shape[1])
    heads[:, :first] = rotated[:, :first]
    heads[:, _HEAD] = rotated[:, first:].norm(dim=1)
    return heads


def _tiles(rotated: Tensor, norms: Tensor) -> NDArray[np.float32]:
    """Heads and squared norms, a tile of patches a row, one coordinate after the other; padded far away."""
    tiles = -(-len(rotated) // _TILE)
    columns = rotated.new_zeros(tiles * _TILE, _HEAD + 2)
    columns[:, -1] = float(FARTHEST)
    columns[: len(rotated)] = torch.cat([_heads(rotated), norms[:, None]], dim=1)
    return columns.view(tiles, _TILE, -1).transpose(1, 2).reshape(tiles, -1).numpy()


@numba.njit(fastmath=True, cache=True)
def _bound(bounds: Any, lowest: Any, head: Any, tile: Any) -> Any:
    """Write at most |g|² - 2 p·g for each patch of a tile, and the lowest of each block; return that of all.

    Spelled out, with constant offsets into one array, because only so it is compiled to wide instructions.
    """
    a, b, c, d, e, f, g, h, rest = (
        head[0],
        head[1],
        head[2],
        head[3],
        head[4],
        head[5],
        head[6],
        head[7],
        head[8],
    )
    for x in range(_TILE):
        bounds[x] = (
            ((tile[9 * _TILE + x] + rest * tile[8 * _TILE + x]) + (a * tile[x] + b * tile[_TILE + x]))
            + (c * tile[2 * _TILE + x] + d * tile[3 * _TILE + x])
        ) + (
            (e * tile[4 * _TILE + x] + f * tile[5 * _TILE + x])
            + (g * tile[6 * _TILE + x] + h * tile[7 * _TILE + x])
        )
    for block in range(_TILE // _BLOCK):
        low = bounds[block * _BLOCK]
        for x in range(_BLOCK):
            low = min(low, bounds[block * _BLOCK + x])
        lowest[block] = low
    return lowest.min()


@numba.njit(fastmath=True, cache=True)
def _is_within(a: Any, b: Any, limit: Any) -> bool:
    """Whether |a - b|² is below the limit."""
    total = np.float32(0)
    for start in range(0, len(a), _STEP):
        total += squared_difference(a[start : start + _STEP], b[start : start + _STEP])
        if total >= limit:
            return False
    return True


@numba.njit(parallel=True, fastmath=True, cache=True)
def _visit(
    best: Any,
    query: Any,
    rotated_query: Any,
    heads: Any,
    query_norms: Any,
    gallery: Any,
    rotated_gallery: Any,
    tiles: Any,
    largest: float,
) -> None:
    """Improve `best` (P, kappa) by the patches (G, C) of one image, whose `tiles` are those of `_tiles`."""
    patches, size = len(query), len(gallery)
    for group in numba.prange((patches + _QUERIES - 1) // _QUERIES):
        bounds = np.empty(_TILE, np.float32)
        lowest = np.empty(_TILE // _BLOCK, np.float32)
        same_place = group * _QUERIES * len(tiles) // patches
        for number in range(len(tiles)):
            tile = (same_place + number) % len(tiles)
            first = tile * _TILE
            for p in range(group * _QUERIES, min((group + 1) * _QUERIES, patches)):
                low = _bound(bounds, lowest, heads[p], tiles[tile])
                nearest = best[p]
                slack = np.float32(ROUNDING) * (query_norms[p] + np.float32(largest))
                limit = nearest[-1] + slack - query_norms[p]
                if low >= limit:
                    continue
                start = int(lowest.argmin())
                for visit in range(-1, len(lowest)):
                    block = start if visit == -1 else visit
                    if lowest[block] >= limit or visit == start:
                        continue
                    for x in range(block * _BLOCK, min((block + 1) * _BLOCK, size - first)):
                        if bounds[x] < limit and _is_within(
                            rotated_query[p], rotated_gallery[first + x], nearest[-1] + slack
                        ):
                            exact = squared_difference(query[p], gallery[first + x])
                            if exact < nearest[-1]:
                                insert(nearest, exact)
                                limit = nearest[-1] + slack - query_norms[p]
