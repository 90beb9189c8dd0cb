"""Whether two samples are from one distribution: the energy distance, tested by permutation.

Székely and Rizzo, "Energy statistics", Journal of Statistical Planning and Inference 143, 2013.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 49_999
_ENOUGH = 200  # permutations with as much: more of them would hardly change the p-value
_BLOCK = 500  # permutations evaluated at once


class Drift(NamedTuple):
    """The energy distance of two samples, 0 if they are alike; and how often permuted ones have as much."""

    statistic: float
    p_value: float


def energy_test(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    permutations: int = PERMUTATIONS,
) -> Drift:
    """Test samples (N, D) and (M, D) against each other; distances are Euclidean.

    The statistic is 2 E|X-Y| - E|X-X'| - E|Y-Y'|, means over all pairs. The rows are permuted until enough
    permutations have as much (Besag and Clifford, Biometrika 78, 1991); where nothing drifted, few do. The
    p-value is exact: it is at most any level with a probability of at most that level, if all rows are
    exchangeable. It is at least 1 / (permutations + 1). They are drawn anew for other rows, and are the same
    for the same.

    Raises:
        ValueError: a sample has fewer than two rows.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"samples of {len(first)} and {len(second)}: two of each are needed to compare them")
    together = np.concatenate([first, second]).astype(np.float64)
    distances = _distances(together)
    count, inside = len(distances), len(first)
    rng = np.random.default_rng(zlib.crc32(together.tobytes()))
    places = np.arange(count) < inside
    observed = float(_energy(distances, places[None], inside)[0])
    tolerance = 1e-9 * max(float(distances.max()), 1e-300)
    reached, statistic = 0, max(observed, 0.0)
    for start in range(0, permutations, _BLOCK):
        rows = rng.permuted(np.tile(places, (min(_BLOCK, permutations - start), 1)), axis=1)
        so_far = reached + np.cumsum(_energy(distances, rows, inside) >= observed - tolerance)
        if so_far[-1] >= _ENOUGH:
            return Drift(statistic, _ENOUGH / (start + 1 + int(np.searchsorted(so_far, _ENOUGH))))
        reached = int(so_far[-1])
    return Drift(statistic, (1 + reached) / (1 + permutations))


def _energy(distances: NDArray[np.float64], rows: NDArray[np.bool_], inside: int) -> NDArray[np.float64]:
    """The statistic (P,) of P divisions (P, N + M) of the rows, N of them inside."""
    outside = len(distances) - inside
    members = rows.astype(np.float64)
    to_members = members @ distances
    within = (to_members * members).sum(axis=1)
    across = to_members.sum(axis=1) - within
    rest = distances.sum() - within - 2 * across
    energy: NDArray[np.float64] = 2 * across / (inside * outside) - within / inside**2 - rest / outside**2
    return energy


def _distances(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean distances of all pairs of rows (N, D), (N, N)."""
    from scipy.spatial.distance import cdist

    found: NDArray[np.float64] = cdist(rows, rows)
    return found


def look(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Brightness and contrast of an image (H, W, 3): mean and standard deviation of its grey values, to 1."""
    grey = image[:, :, 0].astype(np.float32)  # the mean over the axis takes six times as long
    grey += image[:, :, 1]
    grey += image[:, :, 2]
    grey /= 3
    return float(grey.mean(dtype=np.float64)) / 255, float(grey.std(dtype=np.float64)) / 255


def mean_nearest_distance(
    queries: NDArray[np.floating], training: NDArray[np.floating], count: int
) -> NDArray[np.float64]:
    """Mean squared distance of each query (Q, D) to the `count` nearest, or all, of the rows (N, D), (Q,)."""
    from scipy.spatial.distance import cdist

    squared = cdist(queries, training, "sqeuclidean")
    count = min(count, squared.shape[1])
    nearest: NDArray[np.float64] = np.sort(np.partition(squared, count - 1, axis=1)[:, :count], axis=1)
    mean: NDArray[np.float64] = nearest.mean(axis=1)
    return mean
