from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.core.matching.matching import DenseSearch
from tasks.core.matching.rotated import RotatedSearch, is_worth_rotating


def nearest(
    query: NDArray[np.float32], gallery: list[NDArray[np.float32]], kappa: int
) -> NDArray[np.float64]:
    """Sorted differences of all pairs."""
    channels = query.shape[2]
    patches = np.concatenate([image.reshape(-1, channels) for image in gallery]).astype(np.float64)
    rows = query.reshape(-1, channels).astype(np.float64)
    squared = ((rows[:, None] - patches) ** 2).sum(axis=2)
    return np.sort(squared, axis=1)[:, :kappa].reshape(*query.shape[:2], kappa)


@pytest.mark.parametrize("kind", ["rotated", "dense"])
@settings(max_examples=30)
@given(
    height=st.integers(1, 31),
    width=st.integers(1, 33),
    channels=st.integers(1, 70),
    kappa=st.integers(1, 3),
    spread=st.sampled_from([0.01, 1.0]),
    offset=st.sampled_from([0.0, 30.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_level_of_any_shape_agrees_with_all_differences(
    kind: str, height: int, width: int, channels: int, kappa: int, spread: float, offset: float, seed: int
) -> None:
    """Correlated channels, images close to each other and far from zero, more patches than a tile."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(channels, channels)) * np.linspace(1, 0.05, channels)[:, None]
    base = rng.normal(size=(height, width, channels)) @ mixing + offset
    query, *gallery = [
        (base + spread * rng.normal(size=base.shape) @ mixing).astype(np.float32) for _ in range(3)
    ]
    kappa = min(kappa, height * width)
    levels = [torch.from_numpy(query)]
    search = RotatedSearch(levels, kappa) if kind == "rotated" else DenseSearch(levels, "nearest", kappa)
    for image in gallery:
        search.offer([torch.from_numpy(image)])
    np.testing.assert_allclose(search.squared(), nearest(query, gallery, kappa), rtol=1e-4, atol=1e-9)


def test_axes_are_sought_where_patches_are_many() -> None:
    assert is_worth_rotating((56, 56, 256))
    assert not is_worth_rotating((14, 14, 112))
