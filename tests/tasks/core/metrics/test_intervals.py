from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from tasks.core.metrics.intervals import (
    delong,
    holm,
    mean_interval,
    rocauc_difference,
    rocauc_interval,
)

Scored = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def scored_images(draw: st.DrawFn, most: int = 14) -> Scored:
    """Two scores of the same images, with ties; two of each class at least."""
    seed, size = draw(st.integers(0, 2**32 - 1)), draw(st.integers(4, most))
    rng = np.random.default_rng(seed)
    labels = rng.random(size) < 0.5
    labels[:4] = True, True, False, False
    shared = rng.normal(size=size) + labels
    return (shared + rng.normal(0, 0.7, (2, size))).round(draw(st.sampled_from([0, 1, 9]))), labels


def delong_oracle(
    scores: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Structural components pair by pair, as DeLong et al. write them."""
    placements = []
    for row in scores:
        above, below = row[labels], row[~labels]
        wins = [[1.0 if x > y else 0.5 if x == y else 0.0 for y in below] for x in above]
        of_above = [sum(line) / len(below) for line in wins]
        of_below = [sum(line[j] for line in wins) / len(above) for j in range(len(below))]
        placements.append((of_above, of_below, sum(of_above) / len(above)))
    covariance = np.zeros((len(scores), len(scores)))
    for r, (above_r, below_r, area_r) in enumerate(placements):
        for s, (above_s, below_s, area_s) in enumerate(placements):
            for first, second in ((above_r, above_s), (below_r, below_s)):
                products = [(a - area_r) * (b - area_s) for a, b in zip(first, second, strict=True)]
                covariance[r, s] += sum(products) / (len(first) - 1) / len(first)
    return np.array([area for _, _, area in placements]), covariance


@given(scored_images())
def test_delong_agrees_with_plain_loops(scored: Scored) -> None:
    scores, labels = scored
    areas, covariance = delong(scores, labels)
    expected_areas, expected = delong_oracle(scores, labels)
    np.testing.assert_allclose(areas, expected_areas, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)


@given(scored_images())
def test_delong_does_not_depend_on_the_order_of_images_or_the_scale_of_scores(scored: Scored) -> None:
    scores, labels = scored
    order = np.random.default_rng(0).permutation(len(labels))
    areas, covariance = delong(scores, labels)
    others, covariances = delong(np.exp(scores)[:, order] + 2, labels[order])
    np.testing.assert_allclose(areas, others, atol=1e-12)
    np.testing.assert_allclose(covariance, covariances, atol=1e-12)


@pytest.mark.parametrize("labels", [[True, False, False], [True, True, False]])
def test_one_image_of_a_class_has_no_spread(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="two of each are needed"):
        delong(np.arange(3.0)[None], np.array(labels))


@given(scored_images())
def test_an_interval_holds_its_rocauc_and_stays_between_0_and_1(scored: Scored) -> None:
    scores, labels = scored
    areas, covariance = delong(scores, labels)
    for area, variance in zip(areas, np.diag(covariance), strict=True):
        low, high = rocauc_interval(float(area), float(variance), int(labels.sum()), int((~labels).sum()))
        assert 0 <= low <= area <= high <= 1
        assert high - low > 0.01


def test_intervals_cover_the_true_rocauc_about_19_times_in_20() -> None:
    """Normal scores one standard deviation apart: the true ROCAUC is Φ(1 / √2)."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) < 35
    covered = 0
    for _ in range(600):
        scores = rng.normal(size=60) + labels
        areas, covariance = delong(scores[None], labels)
        low, high = rocauc_interval(float(areas[0]), float(covariance[0, 0]), 35, 25)
        covered += low < 0.760250 < high
    assert 0.93 < covered / 600 < 0.975


def test_a_perfect_rocauc_is_surer_with_more_images_but_never_certain() -> None:
    lows = [rocauc_interval(1.0, 0.0, count, count)[0] for count in (2, 10, 50, 1000)]
    assert lows == sorted(lows)
    assert lows[0] < 0.6
    assert 0.99 < lows[-1] < 1
    assert rocauc_interval(1.0, 0.0, 10, 10)[1] == 1
    low, high = rocauc_interval(0.0, 0.0, 10, 10)
    assert (low, high) == pytest.approx((0, 1 - lows[1]))
    low, high = rocauc_interval(0.5, 0.0, 10, 10)
    assert low == pytest.approx(1 - high)
    assert low < 0.3


def test_a_perfect_rocauc_is_bounded_by_the_equation_it_comes_from() -> None:
    """Newcombe's method 5 solved by trying every value: |1 - θ| = z √V(θ), 20 and 63 images."""
    m, n = 63, 20
    theta = np.linspace(0.5, 1, 1_000_001)[:-1]
    extra = (m + n) / 2 - 1
    variance = theta * (1 - theta) * (1 + extra * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (m * n)
    within = 1 - theta <= 1.959964 * np.sqrt(variance)
    assert rocauc_interval(1.0, 0.0, m, n)[0] == pytest.approx(theta[within][0], abs=1e-5)


@given(scored_images())
def test_equal_scores_differ_by_exactly_nothing(scored: Scored) -> None:
    scores, labels = scored
    found = rocauc_difference(scores[0], scores[0].copy(), labels)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@given(scored_images())
def test_a_difference_turns_its_sign_with_the_order(scored: Scored) -> None:
    scores, labels = scored
    found, turned = (rocauc_difference(scores[i], scores[1 - i], labels) for i in (0, 1))
    assert (found.value, found.low, found.high) == pytest.approx((-turned.value, -turned.high, -turned.low))
    assert found.p_value == pytest.approx(turned.p_value)
    excluded = found.low > 0 or found.high < 0
    assert excluded == (found.p_value < 0.05)


def test_the_p_value_of_no_difference_is_small_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(80) < 40
    found = []
    for _ in range(600):
        shared = rng.normal(size=80) + labels
        first, second = shared + rng.normal(0, 0.7, (2, 80))
        found.append(rocauc_difference(first, second, labels).p_value)
    assert 0.03 < np.mean(np.array(found) < 0.05) < 0.075
    assert 0.43 < np.mean(np.array(found) < 0.5) < 0.57


def test_the_detectable_difference_is_found_8_times_in_10() -> None:
    """Paired scores whose true ROCAUCs differ by as much as one trial says is detectable, drawn anew."""
    rng = np.random.default_rng(2)
    labels = np.arange(120) < 60
    found, told = 0, []
    gap = 0.9  # between means: the true ROCAUC of normal scores that far apart is Φ(gap / √2)
    for _ in range(400):
        shared = rng.normal(size=120)
        scores = shared + rng.normal(0, 0.7, (2, 120)) + np.array([[gap], [1.5]]) * labels
        difference = rocauc_difference(scores[0], scores[1], labels)
        found += difference.p_value < 0.05
        assert difference.detectable is not None
        told.append(difference.detectable)
    spread = np.sqrt(2 * (1 + 0.7**2))
    true = norm.cdf(1.5 / spread) - norm.cdf(gap / spread)
    errors = np.array(told) / (norm.ppf(0.975) + norm.ppf(0.8))
    power = norm.cdf(true / errors.mean() - norm.ppf(0.975))
    assert found / 400 == pytest.approx(power, abs=0.06)


def test_nothing_is_detectable_where_nothing_varies() -> None:
    scores = np.array([0.0, 1.0, 2.0, 3.0])
    assert rocauc_difference(scores, scores, np.array([False, False, True, True])).detectable is None


def test_the_interval_of_a_mean_covers_it_about_19_times_in_20() -> None:
    """Five categories of 40 images each, whose true ROCAUCs differ and are known."""
    rng = np.random.default_rng(3)
    labels = np.arange(40) < 25
    shifts = np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    true = float(norm.cdf(shifts / np.sqrt(2)).mean())
    covered = 0
    for _ in range(400):
        values, intervals = [], []
        for shift in shifts:
            areas, covariance = delong((rng.normal(size=40) + shift * labels)[None], labels)
            values.append(float(areas[0]))
            intervals.append(rocauc_interval(values[-1], float(covariance[0, 0]), 25, 15))
        low, high = mean_interval(values, intervals)
        covered += low < true < high
    assert 0.93 < covered / 400 < 0.985


def test_the_interval_of_a_mean_of_one_is_its_own_and_of_equals_shrinks_with_their_number() -> None:
    assert mean_interval([0.9], [(0.8, 0.93)]) == pytest.approx((0.8, 0.93))
    assert mean_interval([0.9] * 4, [(0.8, 0.94)] * 4) == pytest.approx((0.85, 0.92))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_agrees_with_plain_loops(p_values: list[float]) -> None:
    expected = []
    for value in p_values:
        smaller = [other for other in sorted(p_values) if other <= value]
        steps = [(len(p_values) - rank) * other for rank, other in enumerate(smaller)]
        expected.append(min(1.0, max(steps)))
    assert holm(p_values) == pytest.approx(expected)


def test_holm_rejects_a_true_hypothesis_in_no_more_than_one_family_of_20() -> None:
    rng = np.random.default_rng(4)
    families = rng.random((2000, 15))
    assert np.mean([min(holm(family)) < 0.05 for family in families]) < 0.065
