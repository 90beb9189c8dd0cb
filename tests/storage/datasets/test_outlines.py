from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from storage.datasets.outlines import decode_runs, draw, from_runs


def runs_of(mask: NDArray[np.bool_]) -> list[int]:
    """Column by column, a loop over pixels; the first run is outside."""
    runs, inside = [0], False
    for value in mask.T.ravel():
        if value != inside:
            runs.append(0)
            inside = bool(value)
        runs[-1] += 1
    return runs


def compressed(runs: list[int]) -> str:
    """5 bits a character, the lowest first; the sixth says that more follow; the sign is that of the last."""
    text = ""
    for position, run in enumerate(runs):
        value = run - runs[position - 2] if position > 2 else run
        more = True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + (bits | 32 * more))
    return text


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_runs_are_drawn_whether_they_are_compressed_or_not(mask: NDArray[np.bool_]) -> None:
    runs = runs_of(mask)
    np.testing.assert_array_equal(from_runs(runs, *mask.shape), mask)
    np.testing.assert_array_equal(draw({"counts": compressed(runs)}, *mask.shape), mask)


@given(st.lists(st.integers(0, 10**6), max_size=9))
def test_compressed_runs_are_read(runs: list[int]) -> None:
    assert decode_runs(compressed(runs)) == runs


def test_polygons_of_one_annotation_are_joined() -> None:
    found = draw([[1, 1, 3, 1, 3, 2, 1, 2], [6, 0, 7, 0, 7, 5, 6, 5]], 6, 9)
    expected = np.zeros((6, 9), bool)
    expected[1:3, 1:4] = expected[:, 6:8] = True
    np.testing.assert_array_equal(found, expected)


def test_runs_of_another_image_are_refused() -> None:
    with pytest.raises(ValueError, match="runs of 7 pixels in an image of 6"):
        from_runs([3, 4], 2, 3)
