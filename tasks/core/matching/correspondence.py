"""Where in a training image the best match of one patch lies: the method's explanation of a position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.core.matching.kernels import ROUNDING
from tasks.core.matching.preparation import UNCHANGED, Preparation
from tasks.core.matching.pyramid import concatenate


def matched_grids(
    pyramid: Sequence[NDArray[Any]],
    fusion: Literal["concatenate", "average"],
    upsampling: Literal["bilinear", "nearest"],
    preparation: Preparation = UNCHANGED,
) -> list[NDArray[np.float32]]:
    """Patch vectors (H, W, C) as they are matched: one grid of all levels (Hi, Wi, Ci), or one a level."""
    levels = [torch.from_numpy(np.asarray(level)).float() for level in pyramid]
    parts = [levels] if fusion == "concatenate" else [[level] for level in levels]
    grids = [concatenate(preparation.apply(part, upsampling), upsampling) for part in parts]
    return [grid.contiguous().numpy() for grid in grids]


def hottest_cell(anomaly_map: NDArray[np.float32], grid: tuple[int, int]) -> tuple[int, int]:
    """Row and column on a grid (H, W) of the highest pixel of a map (R, R); the first of equal ones."""
    row, column = np.unravel_index(int(np.argmax(anomaly_map)), anomaly_map.shape)
    height, width = anomaly_map.shape
    return (2 * int(row) + 1) * grid[0] // (2 * height), (2 * int(column) + 1) * grid[1] // (2 * width)


def window_around(
    cell: tuple[int, int], window: int, grid: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of the cells of a grid (H, W) that compete, shares; None if all do."""
    if not window:
        return None
    (row, column), (height, width) = cell, grid
    left, top = max(0, column - window), max(0, row - window)
    right, bottom = min(width, column + window + 1), min(height, row + window + 1)
    return left / width, top / height, right / width, bottom / height


def nearest_patches(
    queries: NDArray[np.float32],
    grid: NDArray[np.float32],
    cells: Sequence[tuple[int, int]] = (),
    window: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Squared distances (Q,) and cells (Q, 2), row and column, of the patches nearest to queries (Q, C).

    With a window only patches at most as many cells away compete, given the queries' own `cells`. Products of
    centred vectors tell which patches of the grid (H, W, C) may be nearest; those are measured in float64.
    The first of equally near patches counts.
    """
    patches = grid.reshape(-1, grid.shape[2])
    centre = patches.mean(axis=0)
    centred, wanted = patches - centre, queries - centre
    norms = np.einsum("gc,gc->g", centred, centred)
    slack = 2 * ROUNDING * (np.einsum("qc,qc->q", wanted, wanted) + norms.max())
    products = norms - 2 * (wanted @ centred.T)
    if window:
        rows, columns = np.divmod(np.arange(len(patches)), grid.shape[1])
        own = np.asarray(cells)
        outside = np.maximum(abs(own[:, :1] - rows), abs(own[:, 1:] - columns)) > window
        products[outside] = np.inf
    squared = np.empty(len(queries))
    found = np.empty(len(queries), np.intp)
    for number, (query, row) in enumerate(zip(queries, products, strict=True)):
        near = np.flatnonzero(row <= row.min() + slack[number])
        distances = ((patches[near].astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
        best = int(np.argmin(distances))
        squared[number], found[number] = distances[best], near[best]
    return squared, np.stack(np.divmod(found, grid.shape[1]), axis=1)
