"""The compiled search of a query's blocks in the blocks of an image."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from tasks.core.matching.blocks import LONG_STEP, SHORT_STEP
from tasks.core.matching.grid import cells, shares
from tasks.core.matching.kernels import FARTHEST, insert
from tasks.core.matching.lanes import LANES, SIDE, add_blend, apart, choose, sieve

_GROUP = 28  # of a query's blocks, one after the other
_FEW = 16  # of a gallery's blocks, at first, then four times as many, while nothing near is known
_PIECE = 512  # channels, a multiple of 16, measured at once
_TWO = np.float32(2)

_first_short, _next_short = sieve(SHORT_STEP + 1, fresh=True), sieve(SHORT_STEP, fresh=False)
_first_long, _next_long = sieve(LONG_STEP + 1, fresh=True), sieve(LONG_STEP, fresh=False)


@numba.njit(fastmath=True, cache=True)
def _nearest_centre(row: Any) -> int:
    """The first place of the lowest value."""
    low = row[0]
    for x in range(len(row)):
        low = min(low, row[x])
    place = 0
    while place + 1 < len(row) and row[place] != low:  # none is equal where one is not a number
        place += 1
    return place


@numba.njit(fastmath=True, cache=True)
def _set_floors(floors: Any, best: Any, norms: Any, i: int, j: int, slack: Any) -> Any:
    """Write what the products of a block's pairs are above if near; return the largest best distance."""
    worst = np.float32(0)
    for lane in range(SIDE):
        r, c = 2 * i + lane // 2, 2 * j + lane % 2
        floor = FARTHEST
        if r < best.shape[0] and c < best.shape[1]:
            worst = max(worst, best[r, c, -1])
            floor = np.float32(-0.5) * (best[r, c, -1] + slack - norms[lane])
        floors[lane * SIDE : (lane + 1) * SIDE] = floor
    return worst


@numba.njit(fastmath=True, cache=True)
def _bound(
    chosen: Any, masks: Any, sums: Any, count: int, number: int, query: Any, gallery: Any, floors: Any
) -> int:
    """Keep those of the chosen blocks that may be near, some coordinates at a time; return how many."""
    steps, size, rows, _ = gallery.shape
    for step in range(steps):
        if count == 0:
            break
        own, other = (step * size + number) * rows * SIDE, step * size * rows * SIDE
        if step == 0:
            if rows == SHORT_STEP + 2:
                count = _first_short(chosen, masks, sums, count, query, own, gallery, other, floors)
            else:
                count = _first_long(chosen, masks, sums, count, query, own, gallery, other, floors)
        else:
            own, other = own + SIDE, other + SIDE
            if rows == SHORT_STEP + 2:
                count = _next_short(chosen, masks, sums, count, query, own, gallery, other, floors)
            else:
                count = _next_long(chosen, masks, sums, count, query, own, gallery, other, floors)
    return count


@numba.njit(fastmath=True, cache=True)
def _measure(
    best: Any,
    number: int,
    block: int,
    mask: int,
    vectors: Any,
    finest: Any,
    coarse: Any,
    grid: Any,
    room: Any,
) -> None:
    """Measure the pairs of two blocks that have a bit in the mask; keep the nearest."""
    width, channels = best.shape[1], vectors.shape[1]
    across = (width + 1) // 2
    fine = finest.shape[2]
    for lane in range(SIDE):
        if not mask >> lane & 0x1111:
            continue
        r, c = 2 * (block // across) + lane // 2, 2 * (block % across) + lane % 2
        room[:] = 0
        ready = 0
        for own in range(SIDE):
            if not mask >> (own * SIDE + lane) & 1:
                continue
            i, j = 2 * (number // across) + own // 2, 2 * (number % across) + own % 2
            nearest = best[i, j]
            place = (i * width + j) * channels
            squared = apart(vectors, place, finest, (r * width + c) * fine, fine)
            first = 0
            for depth in range(len(coarse)):
                level = coarse[depth]
                size = level.shape[2]
                four, parts = cells(grid, depth, r, c, level.shape[1]), shares(grid, depth, r, c)
                for start in range(0, size, _PIECE):
                    if squared >= nearest[-1]:
                        break
                    length = min(_PIECE, size - start)
                    if first >= ready:
                        places = (
                            four[0] * size + start,
                            four[1] * size + start,
                            four[2] * size + start,
                            four[3] * size + start,
                        )
                        add_blend(room, first, level, places, parts, length)
                        ready = first + length
                    squared += apart(vectors, place + fine + first, room, first, length)
                    first += length
            if squared < nearest[-1]:
                insert(nearest, squared)


@numba.njit(parallel=True, fastmath=True, cache=True)
def visit(
    best: Any,
    begin: int,
    end: int,
    products: Any,
    squares: Any,
    query_radii: Any,
    norms: Any,
    query: Any,
    vectors: Any,
    radii: Any,
    gallery: Any,
    finest: Any,
    coarse: Any,
    grid: Any,
    slack: Any,
) -> None:
    """Improve `best` (H, W, kappa) for the query's blocks from `begin` to `end` by one image.

    Args:
        best: squared distances, ascending.
        begin: the first of the query's blocks.
        end: the one after the last.
        products: (end - begin, B') of the centres: the gallery's squared norms less squared radii, less twice
            the products. Without rows, no block is left out for its centre.
        squares: squared norms (B',) of the query's centres.
        query_radii: (B',) of the query's blocks.
        norms: squared norms (B, 4) of the query's patches.
        query: the query's table (S, B, step + 2, 4), its first row 1.
        vectors: the query's vectors (H * W, C), the levels one after the other.
        radii: (B',) of the gallery's blocks.
        gallery: the gallery's table (S, B, step + 2, 4).
        finest: the gallery's finest level.
        coarse: its other levels.
        grid: how those reach the finest grid.
        slack: more than rounding takes from a squared distance.
    """
    across = (best.shape[1] + 1) // 2
    size, padded = gallery.shape[1], len(radii)
    groups = (end - begin + _GROUP - 1) // _GROUP
    half = (groups + 1) // 2
    for turn in numba.prange(groups):
        # Neighbours cost alike: every other group, so that the threads share them.
        group = 2 * turn if turn < half else 2 * (turn - half) + 1
        chosen, masks = np.empty(padded + LANES, np.int32), np.empty(padded, np.int32)
        sums = np.empty((padded, LANES), np.float32)
        floors = np.empty(LANES, np.float32)
        room = np.empty(vectors.shape[1] - finest.shape[2], np.float32)
        for number in range(begin + group * _GROUP, min(begin + (group + 1) * _GROUP, end)):
            i, j = number // across, number % across
            is_new = best[2 * i, 2 * j, -1] >= FARTHEST
            seed, start, length = -1, 0, _FEW if is_new else padded
            while start < padded:
                worst = _set_floors(floors, best, norms[number], i, j, slack)
                until = min(start + length, padded)
                is_seed = is_new and seed < 0
                if is_seed:
                    seed = _nearest_centre(products[number - begin, :size]) if len(products) else number
                    chosen[0] = seed
                    count, until = 1, start
                elif len(products):
                    reach = np.sqrt(worst + slack) + query_radii[number]
                    limit = reach * reach - squares[number] + slack
                    place = (number - begin) * padded
                    count = choose(chosen, products, place, radii, _TWO * reach, limit, start, until)
                else:
                    count = max(min(until, size) - start, 0)
                    for x in range(count):
                        chosen[x] = start + x
                if not is_seed:
                    length *= 4
                start = until
                count = _bound(chosen, masks, sums, count, number, query, gallery, floors)
                for x in range(count):
                    if is_seed or chosen[x] != seed:
                        _measure(best, number, chosen[x], masks[x], vectors, finest, coarse, grid, room)
