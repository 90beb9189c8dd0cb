from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.pictures.regions import find_regions


def flooded(above: np.ndarray) -> list[set[tuple[int, int]]]:
    """Regions by walking from pixel to pixel, diagonals too."""
    left = {(int(row), int(column)) for row, column in zip(*np.nonzero(above), strict=True)}
    found = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            row, column = edge.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            edge += near
        found.append(region)
    return found


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.floats(0, 8))
def test_regions_are_those_of_a_walk_over_pixels(seed: int, height: int, width: int, limit: float) -> None:
    heat = np.random.default_rng(seed).integers(0, 9, (height, width)).astype(np.float32)
    heat[0, 0] = np.nan  # not evaluated
    expected = {frozenset(region) for region in flooded(heat > limit)}
    regions, insides = find_regions(heat, limit)
    assert [region.peak for region in regions] == sorted((region.peak for region in regions), reverse=True)
    found = set()
    for region, inside in zip(regions, insides, strict=True):
        assert inside.shape == (region.height, region.width)
        pixels = {
            (region.top + int(r), region.left + int(c)) for r, c in zip(*np.nonzero(inside), strict=True)
        }
        found.add(frozenset(pixels))
        rows, columns = zip(*pixels, strict=True)
        assert (region.top, region.left) == (min(rows), min(columns))
        assert (region.height, region.width) == (max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
        assert region.area == len(pixels)
        assert (region.x, region.y) == pytest.approx((np.mean(columns), np.mean(rows)))
        scores = [heat[pixel] for pixel in pixels]
        assert (region.peak, region.mean) == pytest.approx((max(scores), np.mean(scores)))
        assert heat[region.peak_y, region.peak_x] == region.peak
    assert found == expected


def test_nothing_above_is_no_region() -> None:
    assert find_regions(np.zeros((4, 5), np.float32), 0) == ([], [])
