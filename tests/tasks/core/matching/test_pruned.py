from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching import pruned
from tasks.core.matching.blocks import Frame
from tasks.core.matching.matching import DenseSearch
from tasks.core.matching.pruned import PrunedSearch, is_worth_pruning
from tasks.core.matching.pyramid import concatenate


def searched(
    query: Sequence[Tensor],
    gallery: Sequence[Sequence[Tensor]],
    kappa: int,
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    frame: Frame | None = None,
) -> NDArray[np.float32]:
    """What the search finds, in the query's own frame if in no other."""
    frame = frame or Frame([query], upsampling)
    search = PrunedSearch(frame.searched(query), frame, kappa)
    for image in gallery:
        search.offer(frame.searched(image))
    return search.squared()


def nearest(
    query: NDArray[np.float32], gallery: list[NDArray[np.float32]], kappa: int
) -> NDArray[np.float64]:
    """Sorted differences of all pairs."""
    channels = query.shape[2]
    patches = np.concatenate([image.reshape(-1, channels) for image in gallery]).astype(np.float64)
    rows = query.reshape(-1, channels).astype(np.float64)
    squared = ((rows[:, None] - patches) ** 2).sum(axis=2)
    return np.sort(squared, axis=1)[:, :kappa].reshape(*query.shape[:2], kappa)


@pytest.mark.parametrize("kind", ["pruned", "dense"])
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
    levels, images = [torch.from_numpy(query)], [[torch.from_numpy(image)] for image in gallery]
    if kind == "pruned":
        found = searched(levels, images, kappa)
    else:
        search = DenseSearch(levels, "nearest", kappa)
        for image in images:
            search.offer(image)
        found = search.squared()
    np.testing.assert_allclose(found, nearest(query, gallery, kappa), rtol=1e-4, atol=1e-9)


def test_axes_are_sought_where_patches_are_many() -> None:
    assert is_worth_pruning([(56, 56, 256)])
    assert not is_worth_pruning([(14, 14, 112)])


@settings(max_examples=30)
@given(
    fine=st.tuples(st.integers(1, 23), st.integers(1, 19), st.integers(1, 33)),
    coarse=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 10), st.integers(1, 40)), min_size=1, max_size=3
    ),
    upsampling=st.sampled_from(["bilinear", "nearest"]),
    kappa=st.integers(1, 9),
    spread=st.sampled_from([0.0, 0.01, 1.0]),
    oddity=st.sampled_from(["none", "zeros", "twice", "huge", "offset"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_pyramids_agree_with_all_differences(
    fine: tuple[int, int, int],
    coarse: list[tuple[int, int, int]],
    upsampling: Literal["bilinear", "nearest"],
    kappa: int,
    spread: float,
    oddity: str,
    seed: int,
) -> None:
    """Grids of any ratio, one to four levels; equal images, patches of zeros, twice the same, a huge one."""
    rng = np.random.default_rng(seed)
    sizes = [fine, *((min(h, fine[0]), min(w, fine[1]), c) for h, w, c in coarse)]
    base = [np.cumsum(rng.normal(size=size), axis=1) for size in sizes]
    images = [[level + spread * rng.normal(size=level.shape) for level in base] for _ in range(4)]
    for number, levels in enumerate(images):
        for level in levels:
            if oddity == "zeros":
                level[: len(level) // 2] = 0
            elif oddity == "twice":
                level[-1] = level[0]
            elif oddity == "huge" and number != 1:
                level[-1, -1] = 3e4
            elif oddity == "offset":
                level += 100
    query, *gallery = [[torch.from_numpy(level.astype(np.float32)) for level in levels] for levels in images]
    kappa = min(kappa, fine[0] * fine[1])
    found = searched(query, gallery, kappa, upsampling)
    vectors = [
        concatenate([level.double() for level in image], upsampling).numpy() for image in (query, *gallery)
    ]
    expected = nearest(vectors[0], vectors[1:], kappa)
    # Levels are blended in float32: a distance may be wrong by what that rounds off, whatever its size.
    largest = max(float(np.abs(vector).max()) for vector in vectors)
    rounded = np.finfo(np.float32).eps * largest * np.sqrt(vectors[0].shape[2])
    wrong = np.abs(np.sqrt(found) - np.sqrt(expected))
    assert (wrong <= rounded + 1e-4 * np.sqrt(expected) + 1e-9).all()
    in_another = searched(query, gallery, kappa, upsampling, Frame([gallery[0], query], upsampling))
    np.testing.assert_array_equal(found, in_another)


def test_many_blocks_of_a_query_are_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    query, image = (
        [torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in ((21, 18, 5), (9, 7, 6))]
        for _ in range(2)
    )
    found = []
    for rows in (1024, 10):
        monkeypatch.setattr(pruned, "_ROWS", rows)
        found.append(searched(query, [image], 2))
    np.testing.assert_array_equal(found[0], found[1])


def test_values_that_are_not_finite_end_the_search_of_no_other_patch() -> None:
    rng = np.random.default_rng(0)
    query, image = (
        [torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in ((6, 8, 5), (3, 4, 6))]
        for _ in range(2)
    )
    image[1][0, 0, 0] = torch.nan
    assert searched(query, [image], 1).shape == (6, 8, 1)
