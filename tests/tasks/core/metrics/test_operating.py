from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tasks.core.metrics.conformal import conformal_threshold
from tasks.core.metrics.operating import Segmentation, above, attainable, binomial_interval


@pytest.mark.parametrize(("count", "total"), [(0, 7), (1, 7), (3, 50), (50, 50)])
def test_the_interval_ends_where_a_tail_has_two_and_a_half_percent(count: int, total: int) -> None:
    interval = binomial_interval(count, total)
    assert interval is not None
    low, high = interval
    assert low <= count / total <= high
    if count:
        assert binom.sf(count - 1, total, low) == pytest.approx(0.025)
    if count < total:
        assert binom.cdf(count, total, high) == pytest.approx(0.025)
    assert (low == 0) == (count == 0)
    assert (high == 1) == (count == total)


def test_nothing_has_no_interval() -> None:
    assert binomial_interval(0, 0) is None


@given(st.lists(st.integers(-5, 5), max_size=40), st.lists(st.integers(-6, 6), min_size=1, unique=True))
def test_what_is_above_is_counted_as_a_loop_counts(values: list[int], thresholds: list[int]) -> None:
    limits = np.array(sorted(thresholds), dtype=np.float32)
    expected = [sum(value > limit for value in values) for limit in limits]
    assert above(np.array(values, dtype=np.float32), limits).tolist() == expected


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=200))
def test_the_rates_of_the_curve_have_the_thresholds_that_naming_them_gives(scores: list[float]) -> None:
    found = attainable(scores)
    assert [rate for rate, _ in found] == sorted({rate for rate, _ in found})
    for rate, threshold in found:
        assert threshold == conformal_threshold(scores, rate + 1e-12)
    assert found[0] == (1 / (len(scores) + 1), max(scores))


def test_segmentation_of_images_adds_up_to_f1_of_all_pixels() -> None:
    rng = np.random.default_rng(0)
    maps, masks = rng.integers(0, 9, (3, 7, 5)).astype(np.float32), rng.random((3, 7, 5)) > 0.8
    masks[1] = False
    limits = np.array([2.0, 5.0])
    total = Segmentation.none(2)
    for anomaly_map, mask in zip(maps, masks, strict=True):
        total += Segmentation.of(anomaly_map, mask, limits)
    for place, limit in enumerate(limits):
        predicted = maps > limit
        hits = (predicted & masks).sum()
        assert total.f1(place) == pytest.approx(2 * hits / (predicted.sum() + masks.sum()))
        assert total.false_positive_rate(place) == pytest.approx((predicted & ~masks).sum() / (~masks).sum())


def test_without_anomalous_pixels_there_is_no_f1() -> None:
    assert Segmentation.none(1).f1(0) is None
    assert Segmentation.none(1).false_positive_rate(0) is None
