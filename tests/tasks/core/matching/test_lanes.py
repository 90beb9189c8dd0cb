from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.core.matching.lanes import LANES, SIDE, add_blend, apart, choose, sieve

ROWS = 3
CELLS = (32, 0, 96, 64)
SHARES = (np.float32(0.5), np.float32(0.25), np.float32(0.125), np.float32(0.0625))
_first, _next = sieve(ROWS, fresh=True), sieve(ROWS, fresh=False)


@numba.njit
def sift(a: Any, b: Any, c: Any, count: int, d: Any, first: int, e: Any, start: int, f: Any) -> Any:
    return _first(a, b, c, count, d, first, e, start, f)


@numba.njit
def sift_on(a: Any, b: Any, c: Any, count: int, d: Any, first: int, e: Any, start: int, f: Any) -> Any:
    return _next(a, b, c, count, d, first, e, start, f)


@numba.njit
def chosen_of(a: Any, b: Any, place: int, c: Any, factor: Any, limit: Any, start: int, stop: int) -> Any:
    return choose(a, b, place, c, factor, limit, start, stop)


@numba.njit
def blend(out: Any, place: int, level: Any, cells: Any, shares: Any, length: int) -> None:
    add_blend(out, place, level, cells, shares, length)


@numba.njit
def difference(a: Any, place: int, b: Any, at: int, length: int) -> Any:
    return apart(a, place, b, at, length)


def normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def bits(level: NDArray[Any]) -> NDArray[Any]:
    """A level as compiled code takes it."""
    return level.view(np.uint16) if level.dtype == np.float16 else level


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_sieve_keeps_the_blocks_with_a_pair_above_its_floor(fresh: bool, count: int) -> None:
    query, gallery = normal(0, 2, 5, ROWS + 1, SIDE), normal(1, 2, 11, ROWS + 1, SIDE)
    chosen = np.array([9, 3, 4, 10, 0, 7, 1], np.int32)
    before, floors = normal(2, len(chosen), LANES), 5 + normal(3, LANES)
    masks, sums, numbers = np.zeros(len(chosen), np.int32), before.copy(), chosen.copy()
    step, own = 1, 4
    first, start = (step * 5 + own) * (ROWS + 1) * SIDE, step * 11 * (ROWS + 1) * SIDE
    call = sift if fresh else sift_on
    kept = call(numbers, masks, sums, count, query, first, gallery, start, floors)
    expected = []
    for place, block in enumerate(chosen[:count]):
        totals, mask = [], 0
        for lane in range(LANES):
            terms = [
                float(query[step, own, row, lane // SIDE]) * float(gallery[step, block, row, lane % SIDE])
                for row in range(ROWS + 1)
            ]
            totals.append(sum(terms[:ROWS]) + (0 if fresh else float(before[place, lane])))
            mask |= (totals[-1] + terms[ROWS] > floors[lane]) << lane
        if mask:
            expected.append((int(block), mask, totals))
    assert count < 7 or 0 < len(expected) < count
    assert list(zip(numbers[:kept], masks[:kept], strict=True)) == [each[:2] for each in expected]
    np.testing.assert_allclose(sums[:kept], [each[2] for each in expected] or np.empty((0, LANES)), atol=1e-5)


def test_places_are_chosen_by_their_values_and_weights() -> None:
    values, weights = normal(0, 3, 64), normal(1, 64)
    chosen = np.empty(64 + LANES, np.int32)
    count = chosen_of(chosen, values, 2 * 64, weights, np.float32(0.5), np.float32(-0.25), 16, 48)
    expected = [x for x in range(16, 48) if values[2, x] < np.float32(-0.25) + np.float32(0.5) * weights[x]]
    assert chosen[:count].tolist() == expected
    assert 0 < count < 32


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_cells_are_blended_into_what_is_there(kind: type[np.floating[Any]]) -> None:
    out, level = normal(0, 4, 32), normal(1, 4, 32).astype(kind)
    expected = out.copy()
    for cell, share in zip((1, 0, 3, 2), SHARES, strict=True):
        expected[2] += share * level[cell]
    blend(out, 64, bits(level), CELLS, SHARES, 32)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("length", [16, 64, 144])
def test_a_difference_is_squared_and_summed(kind: type[np.floating[Any]], length: int) -> None:
    a, b = normal(0, 3, 160), normal(1, 2, 160).astype(kind)
    expected = ((a[2, :length].astype(np.float64) - b[1, 16 : 16 + length]) ** 2).sum()
    np.testing.assert_allclose(difference(a, 320, bits(b), 176, length), expected, rtol=1e-6)


def test_every_finite_half_is_read_exactly() -> None:
    halves = np.arange(2**16, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    halves = halves[: len(halves) // LANES * LANES]
    out = np.zeros(len(halves), np.float32)
    blend(out, 0, halves, (0, 0, 0, 0), tuple(map(np.float32, (1, 0, 0, 0))), len(halves))
    np.testing.assert_array_equal(out, halves.view(np.float16).astype(np.float32))


def test_processors_that_know_no_half_read_them_too() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "every_finite_half",
        __file__,
    ]
    done = subprocess.run(
        command, env={**os.environ, "NUMBA_CPU_NAME": "generic"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()
