from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.core.metrics.ranking import Ranking
from tasks.core.metrics.regions import region_weights, saturated_weights


def test_a_small_region_counts_as_much_as_a_large_one() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[:3, :3], mask[5, 5] = True, True
    weights, regions = region_weights(mask)
    assert regions == 2
    assert weights.tolist() == pytest.approx([1 / 9] * 9 + [1])


def test_diagonal_neighbours_are_one_region() -> None:
    weights, regions = region_weights(np.eye(2, dtype=bool))
    assert (weights.tolist(), regions) == ([1 / 2, 1 / 2], 1)


def test_a_mask_without_a_region_has_no_weights() -> None:
    weights, regions = region_weights(np.zeros((3, 4), dtype=bool))
    assert (len(weights), regions) == (0, 0)


def spro_oracle(
    maps: NDArray[np.float32], defects: list[list[NDArray[np.bool_]]], areas: list[list[float]], limit: float
) -> float:
    """At every threshold the mean over defects of min(pixels found / saturation area, 1), to the limit."""
    anomalous = np.array([np.any(masks, axis=0) for masks in defects])
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        above = maps >= threshold
        shares = [
            min((above[image] & mask).sum() / min(area, mask.sum()), 1.0)
            for image, masks in enumerate(defects)
            for mask, area in zip(masks, areas[image], strict=True)
        ]
        points.append((float(above[~anomalous].mean()), float(np.mean(shares))))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < limit < x1:
            x1, y1 = limit, y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


@given(st.integers(0, 2**32 - 1), st.sampled_from([4, 10_000]), st.sampled_from([0.5, 1, 3, 4.5, 100]))
@settings(max_examples=60, deadline=None)
def test_the_saturated_overlap_agrees_with_plain_loops(seed: int, values: int, area: float) -> None:
    """Several masks an image, which may overlap."""
    rng = np.random.default_rng(seed)
    maps = rng.permutation(2 * 7 * 9).reshape(2, 7, 9).astype(np.float32)
    if values < maps.size:
        maps //= maps.size / values
    defects = [[rng.random((7, 9)) < share for share in (0.1, 0.3)] for _ in maps]
    for masks in defects:
        for mask in masks:
            mask[tuple(rng.integers(0, 7, 2))] = True
    areas = [[area, 2 * area] for _ in maps]
    weights = np.stack([saturated_weights(*each) for each in zip(maps, defects, areas, strict=True)])
    anomalous = np.array([np.any(masks, axis=0) for masks in defects])
    ranking = Ranking.of(maps[~anomalous], maps[anomalous], weights[anomalous] / 4)
    assert ranking.overlap[-1] == pytest.approx(1)
    for limit in (0.05, 0.3, 1.0):
        expected = spro_oracle(maps, defects, areas, limit)
        assert ranking.pro(limit) == pytest.approx(expected, abs=1e-9)


def test_a_defect_that_saturates_at_its_own_size_counts_as_a_region() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:5] = True
    maps = np.random.default_rng(0).normal(size=mask.shape)
    assert saturated_weights(maps, [mask], [1e9])[mask].tolist() == pytest.approx(region_weights(mask)[0])
    assert saturated_weights(maps, [mask & False], [4]).sum() == 0


def test_an_area_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        saturated_weights(np.zeros((2, 2)), [np.eye(2, dtype=bool)], [0])
