from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import auc
from tiny import draw_maps

from tasks.core.metrics.conventions import mean_distance, stepped_pro
from tasks.core.metrics.ranking import pixel_metrics


def plain_stepped_pro(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> float:
    """Every threshold against every region of every image."""
    lowest, highest = maps.min(), maps.max()
    points = []
    for threshold in np.arange(lowest, highest, (highest - lowest) / 200):
        shares = []
        for values, mask in zip(maps, masks, strict=True):
            labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
            shares += [float((values[labels == region] > threshold).mean()) for region in range(1, count + 1)]
        rate = float((maps[~masks] > threshold).mean())
        if rate < 0.3:
            points.append((rate, float(np.mean(shares))))
    rates, overlaps = np.array(points).T
    return float(auc(rates / rates.max(), overlaps))


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([12, 25]), st.sampled_from([0.5, 3.0]))
def test_pro_at_steps_is_that_of_plain_loops(seed: int, images: int, side: int, spread: float) -> None:
    maps, masks = draw_maps(seed, images, side, spread)
    assert stepped_pro(zip(maps, masks, strict=True)) == pytest.approx(
        plain_stepped_pro(maps, masks), abs=1e-9
    )


def test_pro_at_steps_is_another_number_than_ours() -> None:
    """Few thresholds lie where normal pixels are once a single score is far above all others."""
    maps, masks = draw_maps(1, 6, 64)
    maps[1, 0, 0] = 40 * maps.max()
    masks[1, 0, 0] = True
    ours = pixel_metrics(zip(maps, masks, strict=True))["pro"]
    assert abs(stepped_pro(zip(maps, masks, strict=True)) - ours) > 0.02


@pytest.mark.parametrize("of", ["no region", "nothing between"])
def test_where_it_is_not_defined_it_says_so(of: str) -> None:
    maps, masks = draw_maps(0, 2, 12)
    if of == "no region":
        masks[:] = False
    else:
        maps[:] = masks
    with pytest.raises(ValueError, match=r"regions are needed|no threshold has"):
        stepped_pro(zip(maps, masks, strict=True))


def test_distances_are_roots() -> None:
    assert mean_distance([4.0, 9.0]) == 2.5
