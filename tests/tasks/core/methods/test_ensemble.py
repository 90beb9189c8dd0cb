from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.methods.ensemble import Scale, held_out, mean_normalized, mean_rank


@given(
    values=st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50),
    offset=st.sampled_from([0.0, 1e4, -1e4]),
    parts=st.integers(1, 4),
)
def test_a_scale_of_parts_is_that_of_the_whole(values: list[float], offset: float, parts: int) -> None:
    scores = np.array(values) + offset
    if scores.std() < 1e-3:
        return
    scale = Scale.of(np.array_split(scores, parts))
    assert scale.zero == pytest.approx(scores.mean(), rel=1e-9, abs=1e-9)
    assert scale.unit == pytest.approx(scores.std(ddof=1), rel=1e-6)
    np.testing.assert_allclose(scale.apply(scores).std(ddof=1), 1, rtol=1e-6)


def test_maps_keep_their_shape_and_dtype() -> None:
    maps = [np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(6, 12, dtype=np.float32).reshape(2, 3)]
    scale = Scale.of(maps)
    assert scale.zero == 5.5
    assert scale.unit == pytest.approx(13**0.5)
    joined = mean_normalized([maps[0], 10 * maps[0]], [Scale(0, 1), Scale(10, 10)])
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined, maps[0] - 0.5)


def test_the_median_is_that_of_the_medians_of_maps() -> None:
    maps = [np.array([[1, 2], [4, 9]], np.float32), np.full((2, 2), 7, np.float32), np.arange(5.0)]
    scale = Scale.of(maps, "median")
    assert scale == Scale(0, 3)
    np.testing.assert_allclose(scale.apply(maps[1]), np.full((2, 2), 7 / 3))
    with pytest.raises(ValueError, match=r"held-out images is 0: name scale='deviation' instead"):
        Scale.of([np.zeros(3)], "median")


@pytest.mark.parametrize("parts", [[], [np.array([3.0])], [np.array([3.0, 3.0])]])
def test_scores_without_spread_are_refused(parts: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="hold out more images"):
        Scale.of(parts)


def test_mean_ranks_by_hand() -> None:
    first, second = np.array([0.1, 0.5, 0.5, 0.9]), np.array([7.0, 1.0, 3.0, 5.0])
    # ranks 1, 2.5, 2.5, 4 and 4, 1, 2, 3: means 2.5, 1.75, 2.25, 3.5
    np.testing.assert_allclose(mean_rank([first, second]), [0.5, 0.25, 1.25 / 3, 2.5 / 3])
    np.testing.assert_allclose(mean_rank([first]), [0, 0.5, 0.5, 1])


@given(count=st.integers(3, 80), seed=st.integers(0, 9), share=st.floats(0.01, 1))
def test_some_images_are_held_out_and_some_stay(count: int, seed: int, share: float) -> None:
    chosen = held_out(count, seed, share)
    assert 2 <= chosen.sum() < count == len(chosen)
    np.testing.assert_array_equal(chosen, held_out(count, seed, share))


def test_a_fifth_is_held_out_and_two_are_too_few() -> None:
    assert held_out(50, 0).sum() == 10
    with pytest.raises(ValueError, match="2 training images"):
        held_out(2, 0)
