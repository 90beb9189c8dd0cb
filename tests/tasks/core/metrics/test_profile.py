from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import draw_maps

from tasks.core.metrics.bootstrap import replicate
from tasks.core.metrics.profile import BINS, Profile
from tasks.core.metrics.ranking import measure_pixels, pixel_metrics


def profile_of(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Profile:
    return measure_pixels(zip(maps, masks, strict=True)).profile


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 40]))
def test_counts_agree_with_plain_loops(seed: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((3, 5, 7)) < 0.2
    masks[0, 0, 0] = True
    maps = rng.integers(0, values, masks.shape).astype(np.float32)
    profile = profile_of(maps, masks)
    distinct = sorted({float(value) for value in maps.ravel()}, reverse=True)
    for image in range(3):
        for place, value in enumerate(distinct):
            here = maps[image] == value
            assert profile.negatives[image, place] == (here & ~masks[image]).sum()
            assert profile.positives[image, place] == (here & masks[image]).sum()
    assert profile.overlap.sum(axis=1) == pytest.approx(profile.regions)


def test_every_pixel_is_counted_once_in_more_bins_than_would_fit_otherwise() -> None:
    maps, masks = draw_maps(0, 7, 96)
    profile = profile_of(maps, masks)
    assert BINS / 2 < profile.negatives.shape[1] <= BINS + 1
    assert profile.negatives.sum(axis=1).tolist() == (~masks).sum(axis=(1, 2)).tolist()
    assert profile.positives.sum(axis=1).tolist() == masks.sum(axis=(1, 2)).tolist()
    assert profile.overlap.sum(axis=1) == pytest.approx(profile.regions)


def test_bins_are_in_the_order_of_scores_and_dense_where_the_scores_are_high() -> None:
    maps, masks = draw_maps(1, 6, 96)
    profile = profile_of(maps, masks)
    top = np.flatnonzero(profile.negatives.sum(axis=0).cumsum() <= 0.01 * (~masks).sum())
    assert len(top) > BINS / 20
    counted = profile.negatives[:, top].sum(axis=1)
    lowest = np.sort(maps[~masks])[len(maps[~masks]) - int(counted.sum())]
    for values, mask, count in zip(maps, masks, counted, strict=True):
        assert (values[~mask] >= lowest).sum() == count


@pytest.mark.parametrize(
    ("seed", "images", "side", "spread"), [(0, 9, 128, 3.0), (1, 7, 64, 1.0), (2, 12, 90, 8)]
)
def test_binned_metrics_are_within_a_ten_thousandth_of_the_exact_ones(
    seed: int, images: int, side: int, spread: float
) -> None:
    maps, masks = draw_maps(seed, images, side, spread)
    found = measure_pixels(zip(maps, masks, strict=True))
    binned = replicate(found.profile, np.ones((1, images)))
    assert abs(binned["rocauc"][0] - found.metrics["rocauc"]) < 1e-4
    assert abs(binned["pro"][0] - found.metrics["pro"]) < 1e-4
    assert abs(binned["pro_05"][0] - found.metrics["pro_05"]) < 2e-4
    if "aupimo" in found.metrics:
        assert abs(binned["aupimo"][0] - found.metrics["aupimo"]) < 2e-3


def test_the_metrics_are_the_same_with_and_without_a_profile() -> None:
    maps, masks = draw_maps(3, 5, 40)
    found = measure_pixels(zip(maps, masks, strict=True))
    assert found.metrics == pixel_metrics(zip(maps, masks, strict=True))


def test_maps_of_normal_images_alone_are_refused_as_before() -> None:
    maps, _ = draw_maps(0, 2, 20)
    with pytest.raises(ValueError, match="both normal and anomalous"):
        measure_pixels((values, np.zeros((20, 20), dtype=bool)) for values in maps)
