from __future__ import annotations

import itertools
from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.core.metrics.drift import energy_test, look, mean_nearest_distance


def energy(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    def mean(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float(np.mean([[np.sqrt(((x - y) ** 2).sum()) for y in b] for x in a]))

    return 2 * mean(first, second) - mean(first, first) - mean(second, second)


def test_the_statistic_is_that_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(7, 3)), rng.normal(0.5, 1, (5, 3))
    assert energy_test(first, second).statistic == pytest.approx(energy(first, second))


def test_the_p_value_is_near_that_of_all_permutations() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(5, 2)), rng.normal(1, 1, (4, 2))
    rows = np.concatenate([first, second])
    observed, reached = energy(first, second), 0
    for inside in itertools.combinations(range(9), 5):
        outside = [row for row in range(9) if row not in inside]
        reached += energy(rows[list(inside)], rows[outside]) >= observed - 1e-9
    assert energy_test(first, second).p_value == pytest.approx(reached / comb(9, 5), abs=0.02)


def test_equal_samples_are_the_same_and_those_far_apart_are_not() -> None:
    rows = np.full((6, 2), 3.0)
    assert energy_test(rows, rows[:5]) == (0, 1)
    found = energy_test(rows[:, :1], rows[:, :1] + 9)
    assert found.statistic == pytest.approx(18)
    assert found.p_value < 0.01


def test_one_image_tells_nothing() -> None:
    with pytest.raises(ValueError, match="samples of 1 and 5"):
        energy_test(np.zeros((1, 2)), np.zeros((5, 2)))


def test_distances_to_the_nearest_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    queries, training = rng.normal(size=(4, 3)), rng.normal(size=(6, 3))
    for count in (2, 99):
        expected = [
            np.mean(sorted(((row - query) ** 2).sum() for row in training)[:count]) for query in queries
        ]
        np.testing.assert_allclose(mean_nearest_distance(queries, training, count), expected)


def test_a_look_is_the_mean_and_the_spread_of_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    grey = image.astype(float).mean(axis=2) / 255
    assert look(image) == pytest.approx((grey.mean(), grey.std()), rel=1e-5)
