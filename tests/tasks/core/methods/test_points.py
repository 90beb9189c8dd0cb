from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.methods import points as module
from tasks.core.methods.points import Points


@given(
    count=st.integers(0, 40),
    channels=st.integers(1, 5),
    held=st.floats(0, 50),
    steps=st.lists(st.integers(0, 9)),
    chunk=st.integers(1, 50),
    seed=st.integers(0, 2**32 - 1),
)
def test_points_are_the_same_wherever_they_lie(
    count: int, channels: int, held: float, steps: list[int], chunk: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    expected = rng.normal(size=(count, channels)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch, Points(count, channels, held * 4 * channels) as points:
        patch.setattr(module, "_CHUNK", chunk)
        start = 0
        for step in [*steps, count]:
            points.append(expected[start : start + step])
            start += step
        assert len(points) == count
        found = [(first, part.copy()) for first, part in points.chunks()]
        assert [first for first, _ in found] == np.cumsum([0, *(len(part) for _, part in found)])[
            :-1
        ].tolist()
        np.testing.assert_array_equal(np.concatenate([expected[:0], *(part for _, part in found)]), expected)
        positions = rng.integers(0, max(count, 1), 7 if count else 0)
        np.testing.assert_array_equal(points.at(positions), expected[positions])


def test_no_more_is_held_than_the_memory() -> None:
    with Points.of(np.zeros((10_000, 4), np.float32), memory=16 * 100) as points:
        sizes = [len(part) for _, part in points.chunks()]
    assert sizes == [100, 4096, 4096, 1708]


def test_a_point_that_was_not_filled_in_is_named() -> None:
    with Points(5, 2, memory=0) as points:
        points.append(np.ones((3, 2), np.float32))
        with pytest.raises(IndexError, match="point 4 of 5 was not filled in"):
            points.at(np.array([4]))
