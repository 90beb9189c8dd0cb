"""PRO against evaluation code that others published."""

from __future__ import annotations

import numpy as np
import pytest
from adeval.au_pro import calculate_au_pro
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_curves import mean_height
from scipy import ndimage

from tasks.core.metrics.ranking import PRO_LIMIT, STRICT_PRO_LIMIT, pixel_metrics

LIMITS = {"pro": PRO_LIMIT, "pro_05": STRICT_PRO_LIMIT}
Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]


@st.composite
def maps_and_masks(draw: st.DrawFn, *, ties: bool) -> Pixels:
    """Odd sizes, one image or several, empty masks among them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from([(1, 9, 31), (2, 13, 17), (4, 1, 40), (3, 5, 5)]))
    masks = rng.random(shape) < draw(st.sampled_from([0.05, 0.2, 0.6]))
    masks[1:] &= rng.random(shape[0] - 1)[:, None, None] < 0.7
    masks[0, 0, 0], masks[0, -1, -1] = True, False
    maps = np.empty(masks.size)
    maps[np.argsort(rng.normal(size=masks.size) + 1.5 * masks.ravel())] = np.arange(masks.size)
    if ties:
        maps //= draw(st.sampled_from([2, 7, 50]))
    return maps.reshape(shape).astype(np.float32), masks


def mvtec_pro(maps: NDArray[np.float32], masks: NDArray[np.bool_], limit: float) -> float:
    """As the evaluation of MVTec AD defines it.

    Every pixel in the order of its score changes the false-positive rate or the overlap; pixels of one score
    change them at once; trapezoids up to the limit.
    """
    changes = []
    regions = 0
    for values, mask in zip(maps, masks, strict=True):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=int))
        regions += count
        for score, label in zip(values.ravel(), labels.ravel(), strict=True):
            share = 1 / int((labels == label).sum()) if label else 0.0
            changes.append((float(score), not label, share))
    normal = sum(is_normal for _, is_normal, _ in changes)
    changes.sort(reverse=True, key=lambda change: change[0])
    points = [(0.0, 0.0)]
    alarms, overlap = 0, 0.0
    for place, (score, is_normal, share) in enumerate(changes):
        alarms, overlap = alarms + is_normal, overlap + share
        if place + 1 == len(changes) or changes[place + 1][0] != score:
            points.append((alarms / normal, overlap / regions))
    return mean_height(points, limit)


@given(maps_and_masks(ties=True) | maps_and_masks(ties=False))
@settings(deadline=None)
def test_pro_is_that_of_mvtecs_evaluation(pixels: Pixels) -> None:
    found = pixel_metrics(zip(*pixels, strict=True))
    for name, limit in LIMITS.items():
        assert found[name] == pytest.approx(mvtec_pro(*pixels, limit), abs=1e-6)


@given(maps_and_masks(ties=False))
@settings(deadline=None)
def test_pro_is_that_of_adeval_up_to_a_normal_pixel(pixels: Pixels) -> None:
    """It knows the curve at normal scores alone, and joins the points by lines: these lie above the steps.

    From one normal score to the next a line gains half its rise times one over the number of normal pixels,
    and the rises sum to 1.
    """
    maps, masks = pixels
    found = pixel_metrics(zip(maps, masks, strict=True))
    normal = int((~masks).sum())
    for name, limit in LIMITS.items():
        theirs, _ = calculate_au_pro(list(masks.astype(int)), list(maps), limit, num_thresholds=normal)
        assert -1e-6 <= theirs - found[name] <= 1 / normal / limit + 1e-6
