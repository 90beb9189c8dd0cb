from __future__ import annotations

import numpy as np
import pytest

from tasks.core.metrics.regions import region_weights


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
