from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.core.matching.correspondence import hottest_cell, matched_grids, nearest_patches, window_around
from tasks.core.matching.matching import match

SHAPES = [(12, 12, 5), (6, 6, 7), (3, 3, 9)]


def pyramid(seed: int) -> list[NDArray[Any]]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape).astype(np.float16) for shape in SHAPES]


@given(
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 99),
    st.booleans(),
)
def test_the_nearest_patch_is_that_of_plain_loops(
    height: int, width: int, channels: int, queries: int, seed: int, equal: bool
) -> None:
    rng = np.random.default_rng(seed)
    scale = 1 if equal else 1000
    grid = rng.integers(0, 3, (height, width, channels)).astype(np.float32) * scale
    vectors = rng.integers(0, 3, (queries, channels)).astype(np.float32)
    squared, cells = nearest_patches(vectors, grid)
    for query, found, cell in zip(vectors, squared, cells, strict=True):
        best = None
        for row in range(height):
            for column in range(width):
                distance = sum(
                    (float(a) - float(b)) ** 2 for a, b in zip(grid[row, column], query, strict=True)
                )
                if best is None or distance < best[0]:
                    best = (distance, row, column)
        assert best is not None
        assert (found, *cell) == best


def test_a_difference_below_what_products_tell_is_measured() -> None:
    grid = np.full((2, 3, 4), 1e3, np.float32)
    grid[0, 0, 0] += 0.5
    grid[1, 2, 0] += 0.25
    query = np.full((1, 4), 1e3, np.float32)
    query[0, 0] += 0.3
    squared, cells = nearest_patches(query, grid)
    assert cells.tolist() == [[1, 2]]
    assert squared == pytest.approx([0.05**2], rel=1e-3)


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("fusion", ["concatenate", "average"])
def test_the_distance_is_the_one_that_the_matcher_found(
    fusion: Literal["concatenate", "average"], upsampling: Literal["bilinear", "nearest"]
) -> None:
    query, gallery = pyramid(0), [pyramid(seed) for seed in (1, 2, 3)]
    expected = match(query, gallery, fusion=fusion, upsampling=upsampling)
    grids = matched_grids(query, fusion, upsampling)
    offered = [matched_grids(image, fusion, upsampling) for image in gallery]
    assert len(grids) == len(expected)
    for number, grid in enumerate(grids):
        vectors = grid.reshape(-1, grid.shape[2])
        best = np.min([nearest_patches(vectors, image[number])[0] for image in offered], axis=0)
        np.testing.assert_allclose(best.reshape(grid.shape[:2]), expected[number][:, :, 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("at", "side", "grid", "cell"),
    [
        ((0, 0), 8, (4, 4), (0, 0)),
        ((7, 7), 8, (4, 4), (3, 3)),
        ((3, 4), 8, (4, 2), (1, 1)),
        ((5, 2), 7, (7, 7), (5, 2)),
    ],
)
def test_the_hottest_pixel_lies_in_the_hottest_cell(
    at: tuple[int, int], side: int, grid: tuple[int, int], cell: tuple[int, int]
) -> None:
    values = np.zeros((side, side), np.float32)
    values[at] = 1
    assert hottest_cell(values, grid) == cell


def test_within_a_window_the_nearest_patch_is_that_of_plain_loops() -> None:
    rng = np.random.default_rng(3)
    grid = rng.normal(size=(6, 9, 4)).astype(np.float32)
    cells = [(0, 0), (3, 8), (5, 4)]
    queries = rng.normal(size=(len(cells), 4)).astype(np.float32)
    squared, found = nearest_patches(queries, grid, cells, 2)
    for query, (row, column), value, there in zip(queries, cells, squared, found, strict=True):
        within = [(r, c) for r, c in np.ndindex(6, 9) if max(abs(r - row), abs(c - column)) <= 2]
        distances = [float(((grid[place] - query).astype(np.float64) ** 2).sum()) for place in within]
        assert tuple(there) == within[int(np.argmin(distances))]
        assert value == pytest.approx(min(distances))


def test_a_window_ends_at_the_border() -> None:
    assert window_around((0, 3), 0, (6, 8)) is None
    assert window_around((0, 3), 2, (6, 8)) == (1 / 8, 0, 6 / 8, 3 / 6)
    assert window_around((5, 7), 9, (6, 8)) == (0, 0, 1, 1)
