from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_curves import mean_height
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from tasks.core.metrics.ranking import Ranking, image_metrics, map_score, pixel_metrics
from tasks.core.metrics.regions import region_weights


def ranking_of(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> Ranking:
    return Ranking.of(scores[~labels], scores[labels])


Labelled = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def labelled_scores(draw: st.DrawFn) -> Labelled:
    """Few distinct values, so that ties are common; both classes present."""
    size = draw(st.integers(2, 60))
    scores = draw(st.lists(st.integers(0, 12), min_size=size, max_size=size))
    labels = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    labels[0], labels[1] = True, False
    return np.array(scores) / 7, np.array(labels)


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    seed = draw(st.integers(0, 2**32 - 1))
    images, height, width = draw(st.integers(1, 3)), draw(st.integers(2, 7)), draw(st.integers(2, 7))
    rng = np.random.default_rng(seed)
    masks = rng.random((images, height, width)) < draw(st.sampled_from([0.1, 0.3, 0.6]))
    masks[0, 0, 0], masks[0, -1, -1] = True, False
    maps = rng.integers(0, draw(st.sampled_from([3, 9, 10_000])), masks.shape).astype(np.float32)
    return maps, masks


@given(labelled_scores())
def test_rocauc_and_average_precision_agree_with_scikit_learn(labelled: Labelled) -> None:
    scores, labels = labelled
    ranking = ranking_of(scores, labels)
    assert ranking.rocauc() == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
    assert ranking.average_precision() == pytest.approx(average_precision_score(labels, scores), abs=1e-9)


@given(labelled_scores())
def test_rocauc_is_the_share_of_pairs_in_order(labelled: Labelled) -> None:
    scores, labels = labelled
    pairs = [(p > n) + 0.5 * (p == n) for p in scores[labels] for n in scores[~labels]]
    assert ranking_of(scores, labels).rocauc() == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


@given(labelled_scores())
def test_f1_max_agrees_with_scikit_learn_and_its_threshold_reaches_it(labelled: Labelled) -> None:
    scores, labels = labelled
    f1, threshold = ranking_of(scores, labels).f1_max()
    precision, recall, _ = precision_recall_curve(labels, scores)
    product, total = 2 * precision * recall, precision + recall
    assert f1 == pytest.approx(np.divide(product, total, out=np.zeros_like(total), where=total > 0).max())
    predicted = scores >= threshold
    hits = (predicted & labels).sum()
    assert f1 == pytest.approx(2 * hits / (predicted.sum() + labels.sum()))


@given(labelled_scores())
def test_iou_max_is_that_of_the_best_threshold_of_all(labelled: Labelled) -> None:
    scores, labels = labelled
    best = max(
        (labels & (scores >= threshold)).sum() / (labels | (scores >= threshold)).sum()
        for threshold in scores
    )
    assert ranking_of(scores, labels).iou_max() == pytest.approx(best, abs=1e-12)


@given(labelled_scores(), st.sampled_from([0, 1, 5, 20, 50]))
def test_presorted_shares_agree_with_every_threshold_tried(labelled: Labelled, percent: int) -> None:
    scores, labels = labelled
    good, bad = 0.0, 0.0
    for threshold in [*scores, scores.max() + 1]:
        missed = int((scores[labels] < threshold).sum())
        alarms = int((scores[~labels] >= threshold).sum())
        if 100 * missed <= percent * labels.sum():
            good = max(good, float((scores[~labels] < threshold).mean()))
        if 100 * alarms <= percent * (~labels).sum():
            bad = max(bad, float((scores[labels] >= threshold).mean()))
    ranking = ranking_of(scores, labels)
    assert ranking.presorted_good(percent) == pytest.approx(good, abs=1e-12)
    assert ranking.presorted_bad(percent) == pytest.approx(bad, abs=1e-12)


@pytest.mark.parametrize("count", [21, 41, 101])
def test_presorted_shares_are_those_of_linear_quantiles_where_these_are_scores(count: int) -> None:
    """As public code computes them: 5 % of count - 1 is a whole number, so that nothing is interpolated."""
    rng = np.random.default_rng(count)
    normal, anomalous = rng.normal(size=count), rng.normal(1.5, 1, count)
    ranking = Ranking.of(normal.copy(), anomalous)
    assert ranking.presorted_good() == pytest.approx((normal < np.quantile(anomalous, 0.05)).mean())
    assert ranking.presorted_bad() == pytest.approx((anomalous > np.quantile(normal, 0.95)).mean())


@given(labelled_scores())
def test_metrics_do_not_depend_on_the_scale_of_scores_or_their_order(labelled: Labelled) -> None:
    scores, labels = labelled
    order = np.random.default_rng(0).permutation(len(scores))
    first, second = image_metrics(scores, labels), image_metrics((np.exp(scores) + 3)[order], labels[order])
    for name in ("rocauc", "average_precision", "f1_max", "pg5", "pb5"):
        assert first[name] == pytest.approx(second[name], abs=1e-12)


def flood(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    """8-connected components, by flooding."""
    left = {(int(i), int(j)) for i, j in np.argwhere(mask)}
    regions = []
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            i, j = edge.pop()
            region.add((i, j))
            around = {(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= around
            edge.extend(around)
        regions.append(region)
    return regions


def pro_oracle(maps: NDArray[np.float32], masks: NDArray[np.bool_], limit: float) -> float:
    """The curve point by point over all thresholds, then its area by small trapezoids up to the limit."""
    regions = [(image, region) for image, mask in enumerate(masks) for region in flood(mask)]
    points = [(0.0, 0.0)]
    for threshold in sorted({float(value) for value in maps.ravel()}, reverse=True):
        above = maps >= threshold
        rate = float((above & ~masks).sum() / (~masks).sum())
        shares = [sum(above[image][p] for p in region) / len(region) for image, region in regions]
        points.append((rate, float(np.mean(shares))))
    return mean_height(points, limit)


@given(maps_and_masks(), st.sampled_from([0.05, 0.3, 0.5, 1.0]))
@settings(max_examples=150)
def test_pro_agrees_with_plain_loops(
    pixels: tuple[NDArray[np.float32], NDArray[np.bool_]], limit: float
) -> None:
    maps, masks = pixels
    weights, regions = zip(*map(region_weights, masks), strict=True)
    ranking = Ranking.of(maps[~masks], maps[masks], np.concatenate(weights) / sum(regions))
    assert ranking.pro(limit) == pytest.approx(pro_oracle(maps, masks, limit), abs=1e-9)


def test_pro_stops_at_a_threshold_that_lies_exactly_on_the_limit() -> None:
    """Ten normal pixels: the third false positive is at the limit; what is found after it does not count."""
    scores = np.array([14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3], dtype=np.float32)
    mask = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    assert Ranking.of(scores[~mask], scores[mask]).pro(0.3) == 0


def test_pixel_metrics_agree_with_scikit_learn_on_maps() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((5, 13, 17)) < 0.1
    maps = (rng.normal(size=masks.shape) + masks).astype(np.float32).round(1)
    found = pixel_metrics(zip(maps, masks, strict=True))
    assert found["rocauc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-9)
    assert found["average_precision"] == pytest.approx(
        average_precision_score(masks.ravel(), maps.ravel()), abs=1e-9
    )
    assert found["pro"] == pytest.approx(pro_oracle(maps, masks, 0.3), abs=1e-9)
    assert found["pro_05"] == pytest.approx(pro_oracle(maps, masks, 0.05), abs=1e-9)


@pytest.mark.parametrize("labels", [[True, True], [False, False]])
def test_one_class_alone_is_refused(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="both normal and anomalous"):
        image_metrics(np.array([0.1, 0.2]), np.array(labels))


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        image_metrics(np.array([0.1, np.nan]), np.array([True, False]))


def test_map_score_is_the_mean_of_the_highest_share() -> None:
    values = np.arange(1000, dtype=np.float32).reshape(20, 50)
    assert map_score(values) == np.mean(np.arange(990, 1000))
    assert map_score(np.array([[3, 1]], dtype=np.float32)) == 3
