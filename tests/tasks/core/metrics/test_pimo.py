from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import draw_maps

from tasks.core.metrics.pimo import Tail, aupimo
from tasks.core.metrics.ranking import measure_pixels, pixel_metrics

Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]


@st.composite
def maps_and_masks(draw: st.DrawFn) -> Pixels:
    """Some 10000 and more normal pixels of odd sizes, with ties; anomalous images come in any place."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    height, width = draw(st.sampled_from([(101, 103), (57, 203), (1, 12001)]))
    kinds = [*draw(st.lists(st.booleans(), min_size=1, max_size=3)), False, True]
    masks = np.zeros((len(kinds), height, width), dtype=bool)
    for mask, anomalous in zip(masks, kinds, strict=True):
        if anomalous:
            mask.flat[rng.choice(mask.size, draw(st.integers(1, 40)), replace=False)] = True
    maps = rng.normal(size=masks.shape) + masks * rng.uniform(2, 5, (len(kinds), 1, 1))
    return maps.astype(np.float32).round(draw(st.sampled_from([1, 2, 6]))), masks


def aupimo_oracle(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> list[float]:
    """From the definition: at each threshold the mean over normal images of each one's rate, and recalls."""
    normal = [number for number, mask in enumerate(masks) if not mask.any()]
    thresholds = np.unique(maps)[::-1]
    rates = [0.0]
    recalls = [[0.0] * len(maps)]
    for threshold in thresholds:
        above = maps >= threshold
        rate = float(np.mean([above[number].mean() for number in normal]))
        recalls.append([above[i][masks[i]].mean() if masks[i].any() else math.nan for i in range(len(maps))])
        rates.append(rate)
        if rate > 1e-4:
            break
    areas = []
    for image in range(len(maps)):
        area = 0.0
        for place in range(1, len(rates)):  # from this threshold's rate to the next, its recall is reached
            last = place + 1 == len(rates)
            start, end = max(rates[place], 1e-5), min(1e-4, 1.0 if last else rates[place + 1])
            if end > start:
                area += recalls[place][image] * (math.log(end) - math.log(start))
        areas.append(area / (math.log(1e-4) - math.log(1e-5)))
    return [math.nan if not mask.any() else area for mask, area in zip(masks, areas, strict=True)]


@given(maps_and_masks())
@settings(max_examples=40, deadline=None)
def test_aupimo_agrees_with_plain_loops(pixels: Pixels) -> None:
    maps, masks = pixels
    found = measure_pixels(zip(maps, masks, strict=True))
    expected = aupimo_oracle(maps, masks)
    np.testing.assert_allclose(found.by_image["aupimo"], expected, atol=1e-9)
    assert found.metrics["aupimo"] == pytest.approx(np.nanmean(expected), abs=1e-9)
    assert pixel_metrics(zip(maps, masks, strict=True))["aupimo"] == found.metrics["aupimo"]


def test_aupimo_is_what_the_published_procedure_tends_to() -> None:
    """Evenly spaced thresholds between those of the two rates, trapezoids over the logarithm of the rate."""
    maps, masks = draw_maps(3, 9, 256)
    normal, anomalous = maps[~masks.any(axis=(1, 2))], np.flatnonzero(masks.any(axis=(1, 2)))
    ranked = np.sort(normal.ravel())[::-1]
    thresholds = np.linspace(ranked[0], ranked[int(2e-4 * len(ranked))], 30_001)
    rates = np.searchsorted(-ranked, -thresholds, side="right") / len(ranked)
    inside = (rates >= 1e-5) & (rates <= 1e-4)
    found = measure_pixels(zip(maps, masks, strict=True)).by_image["aupimo"]
    for number in anomalous:
        scores = np.sort(maps[number][masks[number]])
        recalls = 1 - np.searchsorted(scores, thresholds[inside]) / len(scores)
        area = np.trapezoid(recalls, np.log(rates[inside])) / math.log(10)
        assert found[number] == pytest.approx(area, abs=0.03)


@pytest.mark.parametrize("sides", [(1,), (30, 90, 70)])
def test_the_tail_is_of_the_highest_scores_of_all_images(sides: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.integers(0, 5000, side * side).astype(np.float32) for side in sides]
    tail = Tail.of(parts)
    every = np.sort(np.concatenate(parts))
    assert tail.pixels == len(every)
    assert tail.scores.tolist() == every[-(len(every) // 1000 + 1) :].tolist()


def test_all_found_is_one_and_nothing_found_is_zero() -> None:
    tail = Tail.of([np.arange(20_000, dtype=np.float32)])
    high, low = np.array([20_000, 30_000.5], np.float32), np.array([5, 19_990], np.float32)
    found = aupimo([high, low, np.concatenate([high, low]), high[:0]], tail)
    assert found[:3].tolist() == [1, 0, 0.5]
    assert math.isnan(found[3])


def test_too_few_normal_pixels_are_a_reason_and_not_a_number() -> None:
    maps, masks = draw_maps(0, 4, 40)
    found = measure_pixels(zip(maps, masks, strict=True))
    assert "aupimo" not in found.metrics
    assert found.by_image == {}
    assert found.reasons["aupimo"].startswith("normal test images have 3200 pixels")
    assert found.metrics["pro_05"] > 0


def test_without_a_normal_image_there_is_no_rate() -> None:
    maps, masks = draw_maps(0, 3, 120)
    found = measure_pixels(zip(maps[1:], masks[1:], strict=True))
    assert found.reasons["aupimo"].startswith("normal test images have 0 pixels")
