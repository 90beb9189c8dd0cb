from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.core.matching.matching import Matching, match_each
from tasks.core.matching.preparation import Preparation
from tasks.core.matching.window import WindowedSearch, fewest_candidates


@settings(max_examples=30)
@given(
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([1, 3, 128, 300]),
    images=st.integers(1, 3),
    window=st.integers(1, 10),
    kappa=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_window_on_any_grid_agrees_with_plain_loops(
    grid: tuple[int, int], channels: int, images: int, window: int, kappa: int, seed: int
) -> None:
    kappa = min(kappa, fewest_candidates(grid, window))
    rng = np.random.default_rng(seed)
    query, *gallery = [rng.normal(5, 1, (*grid, channels)).astype(np.float32) for _ in range(images + 1)]
    matching = Matching((0,), kappa=kappa, window=window)
    ((found,),) = match_each([query], [[image] for image in gallery], [matching])
    for i, j in product(*map(range, grid)):
        distances = sorted(
            float(((query[i, j].astype(np.float64) - image[r, c]) ** 2).sum())
            for image in gallery
            for r, c in product(*map(range, grid))
            if abs(r - i) <= window and abs(c - j) <= window
        )
        np.testing.assert_allclose(found[i, j], distances[:kappa], rtol=1e-4)


@pytest.mark.parametrize("unit", [False, True])
def test_a_level_in_half_precision_is_read_as_it_is_stored(
    unit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[torch.dtype] = []
    offer = WindowedSearch.offer

    def seen(search: WindowedSearch, levels: Sequence[Tensor]) -> None:
        offered.append(levels[0].dtype)
        offer(search, levels)

    monkeypatch.setattr(WindowedSearch, "offer", seen)
    rng = np.random.default_rng(1)
    query, *gallery = [rng.normal(size=(16, 9, 40)).astype(np.float16) for _ in range(3)]
    for level in gallery:
        level[0, :2] = np.array([[0], [6e-8]])  # nothing, and the smallest number there is
        level[1, 0], level[2, 3, 0] = 65504, -65504
    matching = Matching((0,), kappa=2, window=2, preparation=Preparation(unit_patches=unit))
    halves, singles = (
        match_each([query.astype(kind)], [[level.astype(kind)] for level in gallery], [matching])[0][0]
        for kind in (np.float16, np.float32)
    )
    np.testing.assert_allclose(halves, singles, rtol=1e-5)
    assert offered == [torch.float16] * 2 + [torch.float32] * 2


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
def test_a_window_over_the_whole_grid_is_none(upsampling: Literal["bilinear", "nearest"]) -> None:
    rng = np.random.default_rng(0)
    shapes = ((6, 10, 3), (3, 5, 4))
    query, *gallery = [[rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in range(4)]
    matchings = [Matching((0, 1), upsampling=upsampling, kappa=3, window=window) for window in (0, 9)]
    (anywhere,), (within,) = match_each(query, gallery, matchings)
    np.testing.assert_allclose(within, anywhere, rtol=1e-5)


def test_more_neighbours_than_a_corner_has_are_refused() -> None:
    level = np.zeros((4, 5, 2), np.float32)
    with pytest.raises(ValueError, match="kappa is 5: in the window of a corner are 4 patches"):
        match_each([level], [[level]], [Matching((0,), kappa=5, window=1)])
