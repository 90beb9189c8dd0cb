from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.core.metrics.curves import Curve, pro_curve, roc_curve
from tasks.core.metrics.ranking import Ranking, pixel_ranking

SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=30)


def ranking(negatives: list[int], positives: list[int]) -> Ranking:
    return Ranking.of(np.array(negatives, np.float32), np.array(positives, np.float32))


def area(curve: Curve) -> float:
    return float(np.trapezoid(curve.y, curve.x))


@given(SCORES, SCORES)
def test_the_roc_curve_passes_through_the_rates_at_every_threshold(
    negatives: list[int], positives: list[int]
) -> None:
    curve = roc_curve(ranking(negatives, positives))
    points = set(zip(curve.x.tolist(), curve.y.tolist(), strict=True))
    for threshold in {*positives}:
        false = sum(score >= threshold for score in negatives) / len(negatives)
        true = sum(score >= threshold for score in positives) / len(positives)
        assert (false, true) in points
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()


@given(SCORES, SCORES)
def test_the_areas_are_the_metrics(negatives: list[int], positives: list[int]) -> None:
    ranked = ranking(negatives, positives)
    assert area(roc_curve(ranked)) == pytest.approx(ranked.rocauc())
    pro = pro_curve(ranked)
    assert pro.x[-1] == 0.3
    assert area(pro) / 0.3 == pytest.approx(ranked.pro())


def test_the_pro_curve_is_the_mean_over_regions() -> None:
    mask = np.zeros((6, 7), bool)
    mask[0, :3] = mask[4:, 5:] = True
    values = np.random.default_rng(0).permutation(42).reshape(6, 7).astype(np.float32)
    curve = pro_curve(pixel_ranking([(values, mask)]), limit=1.0)
    for threshold in values[mask]:
        rate = (values[~mask] >= threshold).mean()
        overlap = ((values[0, :3] >= threshold).mean() + (values[4:, 5:] >= threshold).mean()) / 2
        at = np.flatnonzero(np.isclose(curve.x, rate))
        assert np.isclose(curve.y[at], overlap).any()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=200), st.integers(1, 50))
def test_a_thin_curve_is_nowhere_far_from_the_whole(points: list[tuple[float, float]], steps: int) -> None:
    x, y = (np.array([0.0, *sorted(values), 1.0]) for values in zip(*points, strict=True))
    thin = Curve(x, y).thin(steps)
    kept = set(zip(thin.x, thin.y, strict=True))
    assert {(0.0, 0.0), (1.0, 1.0)} <= kept <= set(zip(x, y, strict=True))
    for at, height in zip(x, y, strict=True):
        gaps = np.maximum(np.abs(thin.x - at), np.abs(thin.y - height))
        assert gaps.min() <= 1 / steps + 1e-12


def test_a_curve_of_millions_of_points_becomes_drawable() -> None:
    rng = np.random.default_rng(0)
    scores: NDArray[np.float32] = rng.normal(size=300_000).astype(np.float32)
    curve = roc_curve(Ranking.of(scores, rng.normal(1, 1, 300_000).astype(np.float32)))
    assert len(curve.x) > 300_000
    assert len(curve.thin().x) < 1700
