from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.core.metrics.friedman import critical_difference

# ranks 1 2 3, 1 2 3, 1 3 2, 2 1 3: means 1.25, 2, 2.75
TABLE = np.array([[0.9, 0.8, 0.7], [0.9, 0.8, 0.7], [0.9, 0.7, 0.8], [0.8, 0.9, 0.7]])


def test_an_example_worked_by_hand() -> None:
    found = critical_difference(TABLE)
    np.testing.assert_allclose(found.mean_ranks, [1.25, 2, 2.75])
    # 12 · 4 / (3 · 4) · (1.25² + 2² + 2.75² - 3 · 4² / 4) = 4 · 1.125
    assert found.statistic == pytest.approx(4.5)
    assert found.p_value == pytest.approx(math.exp(-4.5 / 2))  # chi-square with two degrees of freedom
    # Demšar's table 5: q is 2.343 for three methods
    assert found.difference == pytest.approx(2.343 * math.sqrt(12 / 24), abs=5e-4)
    assert found.groups == ((0, 1, 2),)


@pytest.mark.parametrize(
    ("repeats", "groups"),
    [(2, ((0, 1), (1, 2))), (5, ((0,), (1,), (2,)))],  # differences 1.17 and 0.741 against steps of 0.75
)
def test_more_categories_tell_more_apart(repeats: int, groups: tuple[tuple[int, ...], ...]) -> None:
    assert critical_difference(np.tile(TABLE, (repeats, 1))).groups == groups


def test_groups_name_methods_in_their_given_order() -> None:
    assert critical_difference(np.tile(TABLE[:, ::-1], (2, 1))).groups == ((2, 1), (1, 0))


def test_ties_share_their_rank() -> None:
    found = critical_difference(np.array([[0.5, 0.5, 0.2], [0.9, 0.5, 0.9]]))
    np.testing.assert_allclose(found.mean_ranks, [1.5, 2.25, 2.25])


@pytest.mark.parametrize(
    ("methods", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (10, 3.164)],
)
def test_critical_values_are_those_of_the_published_table(methods: int, q: float) -> None:
    table = np.random.default_rng(methods).random((9, methods))
    expected = q * math.sqrt(methods * (methods + 1) / 54)
    assert critical_difference(table).difference == pytest.approx(expected, abs=1.5e-3)


@pytest.mark.parametrize("table", [np.array([[1.0, 2.0], [2.0, 3.0]]), np.ones((4, 3))])
def test_friedmans_test_is_not_made_of_two_methods_or_of_ties_alone(table: np.ndarray) -> None:
    found = critical_difference(table)
    assert found.statistic is None
    assert found.p_value is None
    assert len(found.groups) == 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.ones((3, 1)), "two methods are needed"),
        (np.ones((0, 3)), "a category and"),
        (np.ones(3), r"shape \(3,\)"),
        (np.array([[1.0, np.nan]]), "not finite"),
    ],
)
def test_a_table_that_cannot_be_compared_is_refused(table: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        critical_difference(table)
