from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import draw_maps

from tasks.core.metrics.intervals import (
    delong,
    pixel_intervals,
    replicate,
    resample,
    rocauc_difference,
    rocauc_interval,
)
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import pixel_metrics, profiled_pixel_metrics

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


def profile_of(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Profile:
    return profiled_pixel_metrics(zip(maps, masks, strict=True))[1]


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


def test_replicates_agree_with_exact_metrics_of_the_resampled_maps() -> None:
    maps, masks = draw_maps(0, 8, 48)
    profile = profile_of(maps, masks)
    weights = resample(profile, 25, seed=3)
    assert weights is not None
    found = replicate(profile, weights)
    for number, row in enumerate(weights.astype(int)):
        taken = np.repeat(np.arange(8), row)
        exact = pixel_metrics(zip(maps[taken], masks[taken], strict=True))
        assert found["rocauc"][number] == pytest.approx(exact["rocauc"], abs=2e-4)
        assert found["pro"][number] == pytest.approx(exact["pro"], abs=2e-4)


def test_the_interval_agrees_with_a_plain_bootstrap_over_images() -> None:
    """Images drawn one by one, with and without defects apart, exact metrics of what was drawn."""
    maps, masks = draw_maps(1, 9, 32, spread=1.5)
    exact, profile = profiled_pixel_metrics(zip(maps, masks, strict=True))
    rng = np.random.default_rng(7)
    normal, anomalous = ([i for i in range(9) if masks[i].any() == kind] for kind in (False, True))
    drawn: dict[str, list[float]] = {"rocauc": [], "pro": []}
    for _ in range(600):
        taken = [int(rng.choice(kind)) for kind in (normal, anomalous) for _ in kind]
        metrics = pixel_metrics(zip(maps[taken], masks[taken], strict=True))
        for name, values in drawn.items():
            values.append(metrics[name])
    intervals = pixel_intervals({name: exact[name] for name in drawn}, profile)
    assert intervals is not None
    for name, values in drawn.items():
        low, high = np.quantile(values, [0.025, 0.975])
        assert intervals[name] == pytest.approx((low, high), abs=0.12 * (high - low))
        assert intervals[name][0] < exact[name] < intervals[name][1]


def test_a_replicate_has_as_many_images_of_either_kind_as_the_test_set() -> None:
    maps, masks = draw_maps(2, 7, 24)
    weights = resample(profile_of(maps, masks), 40, seed=0)
    assert weights is not None
    kinds = masks.any(axis=(1, 2))
    assert set(weights[:, kinds].sum(axis=1)) == {kinds.sum()}
    assert set(weights[:, ~kinds].sum(axis=1)) == {(~kinds).sum()}
    assert np.ptp(weights, axis=0).min() > 0


@pytest.mark.parametrize("kept", [[0, 1, 2], [0, 3, 1]])
def test_a_single_image_of_a_kind_has_no_interval(kept: list[int]) -> None:
    maps, masks = draw_maps(2, 7, 24)
    exact, profile = profiled_pixel_metrics(zip(maps[kept], masks[kept], strict=True))
    assert pixel_intervals({"pro": exact["pro"]}, profile) is None


def test_anomalous_images_alone_have_an_interval() -> None:
    maps, masks = draw_maps(2, 9, 24)
    kept = masks.any(axis=(1, 2))
    exact, profile = profiled_pixel_metrics(zip(maps[kept], masks[kept], strict=True))
    intervals = pixel_intervals({"pro": exact["pro"]}, profile)
    assert intervals is not None
    assert intervals["pro"][0] < exact["pro"] < intervals["pro"][1]


def test_a_replicate_without_a_normal_pixel_is_left_out() -> None:
    maps, masks = draw_maps(2, 3, 24)
    kept = [1, 1, 2]
    masks = masks[kept]
    masks[:2] = True
    _, profile = profiled_pixel_metrics(zip(maps[kept], masks, strict=True))
    weights = resample(profile, 200, seed=0)
    assert weights is not None
    assert 0 < len(weights) < 200
    assert np.isfinite(replicate(profile, weights)["rocauc"]).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_same_maps_differ_by_exactly_nothing_with_any_seed(seed: int) -> None:
    profile = profile_of(*draw_maps(4, 6, 32))
    intervals = pixel_intervals({"rocauc": 0.0, "pro": 0.0}, profile, profile, seed=seed)
    assert intervals == {"rocauc": (0, 0), "pro": (0, 0)}


def test_pairing_tells_a_small_loss_from_the_spread_of_images() -> None:
    """A little noise on the maps of the same images: the two intervals overlap, the paired one excludes 0."""
    maps, masks = draw_maps(5, 30, 48, spread=1.5)
    noisy = maps + np.random.default_rng(0).normal(0, 0.4, maps.shape).astype(np.float32)
    exact, profile = profiled_pixel_metrics(zip(maps, masks, strict=True))
    worse, other = profiled_pixel_metrics(zip(noisy, masks, strict=True))
    names = ("rocauc", "pro")
    alone = pixel_intervals({name: exact[name] for name in names}, profile)
    alone_worse = pixel_intervals({name: worse[name] for name in names}, other)
    paired = pixel_intervals({name: worse[name] - exact[name] for name in names}, other, profile)
    assert alone is not None
    assert alone_worse is not None
    assert paired is not None
    for name in names:
        assert alone[name][0] < alone_worse[name][1]
        assert paired[name][0] <= worse[name] - exact[name] <= paired[name][1] < 0


def test_the_interval_hardly_depends_on_the_seed() -> None:
    maps, masks = draw_maps(6, 20, 32)
    exact, profile = profiled_pixel_metrics(zip(maps, masks, strict=True))
    ends = [pixel_intervals({"pro": exact["pro"]}, profile, seed=seed) for seed in range(4)]
    found = np.array([interval["pro"] for interval in ends if interval is not None])
    assert len(found) == 4
    assert np.ptp(found, axis=0).max() < 0.2 * (found[0, 1] - found[0, 0])
