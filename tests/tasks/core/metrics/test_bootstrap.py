from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import draw_maps

from tasks.core.metrics.bootstrap import pixel_differences, pixel_intervals, replicate, resample
from tasks.core.metrics.intervals import Difference
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import measure_pixels, pixel_metrics

BLURRED = {"rocauc": 2e-4, "pro": 2e-4, "pro_05": 4e-4, "aupimo": 4e-3}  # by bins, of the metric


def measured(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> tuple[dict[str, float], Profile]:
    found = measure_pixels(zip(maps, masks, strict=True))
    return found.metrics, found.profile


def exact_of(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in BLURRED}


def profile_of(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Profile:
    return measured(maps, masks)[1]


def test_replicates_agree_with_exact_metrics_of_the_resampled_maps() -> None:
    maps, masks = draw_maps(0, 8, 96)
    profile = profile_of(maps, masks)
    weights = resample(profile, 25, seed=3)
    assert weights is not None
    found = replicate(profile, weights)
    for number, row in enumerate(weights.astype(int)):
        taken = np.repeat(np.arange(8), row)
        exact = pixel_metrics(zip(maps[taken], masks[taken], strict=True))
        for name, within in BLURRED.items():
            assert found[name][number] == pytest.approx(exact[name], abs=within)


def test_the_interval_agrees_with_a_plain_bootstrap_over_images() -> None:
    """Images drawn one by one, with and without defects apart, exact metrics of what was drawn."""
    maps, masks = draw_maps(1, 9, 64, spread=1.5)
    exact, profile = measured(maps, masks)
    rng = np.random.default_rng(7)
    normal, anomalous = ([i for i in range(9) if masks[i].any() == kind] for kind in (False, True))
    drawn: dict[str, list[float]] = {name: [] for name in BLURRED}
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
    exact, profile = measured(maps[kept], masks[kept])
    assert pixel_intervals({"pro": exact["pro"]}, profile) is None


def test_anomalous_images_alone_have_an_interval() -> None:
    maps, masks = draw_maps(2, 9, 24)
    kept = masks.any(axis=(1, 2))
    exact, profile = measured(maps[kept], masks[kept])
    intervals = pixel_intervals({"pro": exact["pro"]}, profile)
    assert intervals is not None
    assert intervals["pro"][0] < exact["pro"] < intervals["pro"][1]


def test_a_replicate_without_a_normal_pixel_is_left_out() -> None:
    maps, masks = draw_maps(2, 3, 24)
    kept = [1, 1, 2]
    masks = masks[kept]
    masks[:2] = True
    _, profile = measured(maps[kept], masks)
    weights = resample(profile, 200, seed=0)
    assert weights is not None
    assert 0 < len(weights) < 200
    assert np.isfinite(replicate(profile, weights)["rocauc"]).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_same_maps_differ_by_exactly_nothing_with_any_seed(seed: int) -> None:
    profile = profile_of(*draw_maps(4, 6, 80))
    found = pixel_differences(dict.fromkeys(BLURRED, 0.0), profile, profile, seed=seed)
    assert found == dict.fromkeys(BLURRED, Difference(0, 0, 0, 1, None))


def test_pairing_tells_a_small_loss_from_the_spread_of_images() -> None:
    """A little noise on the maps of the same images: the two intervals overlap, the paired one excludes 0."""
    maps, masks = draw_maps(5, 30, 48, spread=1.5)
    noisy = maps + np.random.default_rng(0).normal(0, 0.4, maps.shape).astype(np.float32)
    exact, profile = measured(maps, masks)
    worse, other = measured(noisy, masks)
    alone, alone_worse = pixel_intervals(exact_of(exact), profile), pixel_intervals(exact_of(worse), other)
    paired = pixel_differences({name: worse[name] - exact[name] for name in BLURRED}, other, profile)
    assert alone is not None
    assert alone_worse is not None
    assert paired is not None
    for name, difference in paired.items():
        assert alone[name][0] < alone_worse[name][1]
        assert difference.low <= difference.value == worse[name] - exact[name] <= difference.high
        assert (difference.high < 0) == (difference.p_value < 0.05) == (name != "aupimo")
        assert difference.detectable is not None
        assert 0.2 < difference.detectable / (difference.high - difference.low) < 1.2


def test_the_p_value_of_no_difference_is_small_about_as_often_as_it_says() -> None:
    """The same maps with other noise of the same size: neither is better."""
    p_values: dict[str, list[float]] = {"rocauc": [], "pro": []}
    for seed in range(40):
        maps, masks = draw_maps(seed, 24, 20, spread=1.5)
        noise = np.random.default_rng(seed + 1000).normal(0, 1, (2, *maps.shape)).astype(np.float32)
        (one, profile), (two, other) = (measured(maps + each, masks) for each in noise)
        found = pixel_differences({name: two[name] - one[name] for name in p_values}, other, profile)
        assert found is not None
        for name, values in p_values.items():
            values.append(found[name].p_value)
    for values in p_values.values():
        assert np.mean(np.array(values) < 0.05) < 0.16
        assert 0.32 < np.mean(np.array(values) < 0.5) < 0.68


def test_the_interval_hardly_depends_on_the_seed() -> None:
    maps, masks = draw_maps(6, 20, 32)
    exact, profile = measured(maps, masks)
    ends = [pixel_intervals({"pro": exact["pro"]}, profile, seed=seed) for seed in range(4)]
    found = np.array([interval["pro"] for interval in ends if interval is not None])
    assert len(found) == 4
    assert np.ptp(found, axis=0).max() < 0.2 * (found[0, 1] - found[0, 0])
