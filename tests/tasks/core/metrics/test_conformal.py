from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import ConfigurationError
from tasks.core.metrics.conformal import check_rate, conformal_threshold, images_needed


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.01, 99), (0.05, 19), (0.5, 1), (0.1, 9), (0.3, 3), (0.001, 999), (0.9, 1)]
)
def test_a_rate_needs_so_many_images(rate: float, needed: int) -> None:
    assert images_needed(rate) == needed
    scores = list(np.random.default_rng(0).random(needed))
    assert conformal_threshold(scores, rate) == (max(scores) if rate <= 0.5 else min(scores))
    if needed > 1:
        with pytest.raises(ValueError, match=f"a rate of {rate:g} needs {needed} scores"):
            conformal_threshold(scores[1:], rate)


def test_the_threshold_is_an_order_statistic() -> None:
    scores = [float(value) for value in np.random.default_rng(1).permutation(np.arange(1, 200))]
    assert conformal_threshold(scores, 0.01) == 198
    assert conformal_threshold(scores, 0.05) == 190
    assert conformal_threshold(scores, 0.1) == 180


@given(
    st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40, unique=False),
    st.sampled_from([0.03, 0.05, 0.1, 0.2, 0.25, 0.5, 0.7]),
)
def test_of_all_scores_at_most_the_rate_lies_above_the_threshold_of_the_others(
    scores: list[float], rate: float
) -> None:
    """The guarantee itself: whichever of the n + 1 is the new one, few are flagged; ties never hurt."""
    if len(scores) - 1 < images_needed(rate):
        return
    flagged = sum(
        score > conformal_threshold(scores[:new] + scores[new + 1 :], rate)
        for new, score in enumerate(scores)
    )
    assert flagged <= rate * len(scores) + 1e-9


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), "0.1"])
def test_what_is_no_rate_is_named(rate: float) -> None:
    with pytest.raises(ConfigurationError, match="fpr is"):
        check_rate(rate)
