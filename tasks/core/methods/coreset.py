"""The greedy k-center coreset: points of which every point is near one."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tasks.core.matching.kernels import FARTHEST, squared_difference
from tasks.core.methods.points import Points

BYTES_A_POINT = 12  # held besides the points: its distance, and its position while candidates are sought
_CANDIDATES = 1024  # the farthest points, among which the next centres are sought
_CENTRES = 256  # at most, before all points are told of them


def random_projection(dimensions: int, target: int, seed: int) -> NDArray[np.float32]:
    """A matrix (dimensions, target) of Gaussians that nearly keeps distances (Johnson and Lindenstrauss)."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.standard_normal((dimensions, target)) / np.sqrt(target), np.float32)


def greedy_coreset(points: Points, count: int, seed: int) -> NDArray[np.int64]:
    """Positions (count,) of points (N, C): a random one, then each time the one farthest from all chosen.

    Exactly greedy, in N · count distances. A point's distance to the chosen only shrinks. So among the
    farthest points alone the next centres are exact, while the farthest of them is above all the rest; then
    all points are told of the new centres at once, which reads each point once for many centres.

    Memory: what the points hold, and `BYTES_A_POINT` for each.

    Raises:
        ValueError: count is not from 1 to N.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"count is {count}: there are {len(points)} points")
    chosen = np.empty(count, np.int64)
    chosen[0] = np.random.default_rng(seed).integers(len(points))
    nearest = np.full(len(points), FARTHEST, np.float32)
    _approach_all(nearest, points, chosen[:1])
    done = 1
    while done < count:
        nearest[chosen[:done]] = -1  # never again, even where points coincide
        if len(points) > _CANDIDATES:
            order = np.argpartition(nearest, -_CANDIDATES - 1)[-_CANDIDATES - 1 :].copy()
            rest, candidates = nearest[order[0]], np.sort(order[1:])
        else:
            rest, candidates = np.float32(-1), np.arange(len(points))
        wanted = min(count - done, _CENTRES)
        found = _farthest(points.at(candidates), nearest[candidates], rest, wanted)
        chosen[done : done + len(found)] = candidates[found]
        _approach_all(nearest, points, candidates[found])
        done += len(found)
    return chosen


def _approach_all(nearest: NDArray[np.float32], points: Points, chosen: NDArray[np.int64]) -> None:
    """Lower `nearest` (N,) to the squared distances to the nearest of the points chosen."""
    centres = points.at(chosen)
    for start, chunk in points.chunks():
        _approach(nearest[start : start + len(chunk)], chunk, centres)


@numba.njit(fastmath=True, cache=True)
def _farthest(points: Any, nearest: Any, rest: Any, wanted: int) -> Any:
    """Choose greedily, at least once, while the farthest is not below `rest`; changes `nearest`."""
    found = np.empty(wanted, np.int64)
    for number in range(wanted):
        farthest = nearest.argmax()
        if number > 0 and nearest[farthest] < max(rest, np.float32(0)):
            return found[:number]
        found[number] = farthest
        for x in range(len(points)):
            nearest[x] = min(nearest[x], squared_difference(points[x], points[farthest]))
        nearest[farthest] = -1
    return found


@numba.njit(parallel=True, fastmath=True, cache=True)
def _approach(nearest: Any, points: Any, centres: Any) -> None:
    """Lower `nearest` (N,) to the squared distances to the nearest of centres (M, C)."""
    for x in numba.prange(len(points)):
        best = nearest[x]
        for y in range(len(centres)):
            best = min(best, squared_difference(points[x], centres[y]))
        nearest[x] = best
