from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from saturated_overlap import Masks, spro_oracle

from tasks.core.metrics.ranking import STRICT_PRO_LIMIT, Ranking, measure_pixels
from tasks.core.metrics.regions import region_weights
from tasks.core.metrics.saturated import Defects, Saturated, saturated_weights


def spro(
    maps: NDArray[np.float32], defects: Masks, shares: list[list[float]], images: list[int] | None = None
) -> float:
    """By the code that measures all metrics, of these images or of all."""
    empty = np.zeros(maps.shape[1:], dtype=bool)
    joined = [np.any([empty, *masks], axis=0) for masks in defects]
    known = {number: Defects.of(mask, defects[number], shares[number]) for number, mask in enumerate(joined)}
    asked = {"spro": [*known] if images is None else images}
    return measure_pixels(zip(maps, joined, strict=True), Saturated(known, asked)).metrics["spro"]


def scores(rng: np.random.Generator, shape: tuple[int, ...], ties: int) -> NDArray[np.float32]:
    """All distinct, or this many of each."""
    return (rng.permutation(int(np.prod(shape))).reshape(shape) // ties).astype(np.float32)


def draw(seed: int, ties: int) -> tuple[NDArray[np.float32], Masks, list[list[float]]]:
    """Odd sizes; a normal image, images of one defect and of several, which may overlap and cover much."""
    rng = np.random.default_rng(seed)
    maps = scores(rng, (4, 9, 13), ties)
    dense = [rng.choice([0.02, 0.3], number) for number in range(4)]
    defects = [[rng.random((9, 13)) < share for share in of_image] for of_image in dense]
    for masks in defects:
        for mask in masks:
            mask[tuple(rng.integers(0, 9, 2))] = True
            mask[0, 0] = False
    return maps, defects, [[float(rng.uniform(0.01, 1)) for _ in masks] for masks in defects]


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 100]), st.sampled_from([0.5, 1, 3, 4.5, 100]))
@settings(max_examples=60)
def test_the_saturated_overlap_agrees_with_plain_loops(seed: int, ties: int, area: float) -> None:
    """Several masks an image, which may overlap."""
    rng = np.random.default_rng(seed)
    maps = scores(rng, (2, 7, 9), ties)
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


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 40, 1000]))
@settings(max_examples=80)
def test_what_is_measured_agrees_with_plain_loops(seed: int, ties: int) -> None:
    """Also of some of the images, whose false positives are those of these images alone."""
    maps, defects, shares = draw(seed, ties)
    for images in ([0, 1, 2, 3], [0, 2], [3], [1, 3]):
        areas = [
            [share * mask.sum() for share, mask in zip(shares[image], defects[image], strict=True)]
            for image in images
        ]
        expected = spro_oracle(maps[images], [defects[image] for image in images], areas, STRICT_PRO_LIMIT)
        assert spro(maps, defects, shares, images) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 40]))
@settings(max_examples=40)
def test_defects_that_are_regions_and_have_to_be_found_whole_are_pro(seed: int, ties: int) -> None:
    rng = np.random.default_rng(seed)
    maps = scores(rng, (3, 11, 7), ties)
    defects: Masks = [[], [], []]
    for masks, (top, height) in zip(defects, ((0, 2), (3, 4), (9, 2)), strict=True):
        for left in (0, 3):
            masks.append(np.zeros((11, 7), dtype=bool))
            masks[-1][top : top + height, left : left + 2] = True
    joined = [np.any(masks, axis=0) for masks in defects]
    pro = measure_pixels(zip(maps, joined, strict=True)).metrics["pro_05"]
    assert spro(maps, defects, [[1.0, 1.0]] * 3) == pytest.approx(pro, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 40]), st.floats(0.1, 1))
@settings(max_examples=40)
def test_to_have_to_find_less_never_lowers_it(seed: int, ties: int, factor: float) -> None:
    maps, defects, shares = draw(seed, ties)
    less = [[share * factor for share in each] for each in shares]
    assert spro(maps, defects, less) >= spro(maps, defects, shares) - 1e-12


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 40]))
@settings(max_examples=20)
def test_the_order_of_masks_and_of_images_does_not_matter(seed: int, ties: int) -> None:
    maps, defects, shares = draw(seed, ties)
    turned = [masks[::-1] for masks in defects[::-1]], [each[::-1] for each in shares[::-1]]
    assert spro(maps[::-1], *turned) == pytest.approx(spro(maps, defects, shares), abs=1e-12)


def test_a_defect_without_a_pixel_is_none() -> None:
    maps, defects, shares = draw(0, 1)
    outside = [[*masks, np.zeros((9, 13), dtype=bool)] for masks in defects]
    more = [[*each, 0.5] for each in shares]
    assert spro(maps, outside, more) == spro(maps, defects, shares)


def test_what_scores_above_all_normal_pixels_is_found_and_what_scores_below_is_not() -> None:
    mask = np.zeros((5, 8), dtype=bool)
    mask[1:3, 2:5] = True
    values = np.random.default_rng(0).random((1, 5, 8)).astype(np.float32)
    assert spro(values + 2 * mask, [[mask]], [[0.4]]) == pytest.approx(1)
    assert spro(values - 2 * mask, [[mask]], [[0.4]]) == pytest.approx(0)
    assert spro(np.ones((1, 5, 8), np.float32), [[mask]], [[0.4]]) == pytest.approx(STRICT_PRO_LIMIT / 2)


def test_a_defect_that_saturates_at_its_own_size_counts_as_a_region() -> None:
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:5] = True
    maps = np.random.default_rng(0).normal(size=mask.shape)
    assert saturated_weights(maps, [mask], [1e9])[mask].tolist() == pytest.approx(region_weights(mask)[0])
    assert saturated_weights(maps, [mask & False], [4]).sum() == 0


def test_an_area_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        saturated_weights(np.zeros((2, 2)), [np.eye(2, dtype=bool)], [0])
