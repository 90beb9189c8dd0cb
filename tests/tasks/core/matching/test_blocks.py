from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tasks.core.matching.blocks import LONG_STEP, SHORT_STEP, Frame, principal_axes
from tasks.core.matching.pyramid import concatenate

SIZES = ((7, 10, 16), (4, 5, 32), (2, 3, 48))


def images(seed: int, count: int, sizes: tuple[tuple[int, int, int], ...] = SIZES) -> list[list[Tensor]]:
    rng = np.random.default_rng(seed)
    return [
        [torch.from_numpy(rng.normal(size=size).astype(np.float32)) for size in sizes] for _ in range(count)
    ]


@settings(max_examples=15)
@given(
    fine=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    coarse=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    upsampling=st.sampled_from(["bilinear", "nearest"]),
    alone=st.booleans(),
    scale=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_bound_of_a_block_is_above_a_distance(
    fine: tuple[int, int],
    coarse: tuple[int, int],
    upsampling: Literal["bilinear", "nearest"],
    alone: bool,
    scale: float,
    seed: int,
) -> None:
    """Of products of coordinates after each step, and of the balls around the coarse levels' coordinates."""
    coarse = (min(coarse[0], fine[0]), min(coarse[1], fine[1]))
    query, image = images(seed, 2, ((*fine, 32), (*coarse, 112))[: 1 if alone else 2])
    query = [scale * level for level in query]
    frame = Frame([query], upsampling)
    own, other = frame.searched(query).blocks, frame.searched(image).blocks
    assert own.table.shape[2] - 2 == (SHORT_STEP if alone else LONG_STEP)
    slack = 1e-5 * (own.largest + other.largest)
    across = (fine[1] + 1) // 2
    means = [level.mean(dim=(0, 1)) for level in query]
    p, g = (
        concatenate(
            [level.double() - mean for level, mean in zip(levels, means, strict=True)], upsampling
        ).numpy()
        for levels in (query, image)
    )
    u, v = p[:, :, 32:], g[:, :, 32:]
    for (i, j), (k, m) in product(np.ndindex(*fine), np.ndindex(*fine)):
        a, b = i // 2 * across + j // 2, k // 2 * across + m // 2
        lane, with_lane = i % 2 * 2 + j % 2, k % 2 * 2 + m % 2
        mine, theirs = own.table[:, a, 1:, lane].astype(float), other.table[:, b, 1:, with_lane].astype(float)
        squared = float(((p[i, j] - g[k, m]) ** 2).sum())
        sums = np.cumsum((mine[:, :-1] * theirs[:, :-1]).sum(axis=1))
        bounds = own.norms[a, lane] + other.norms[b, with_lane] - 2 * (sums + mine[:, -1] * theirs[:, -1])
        assert (bounds <= squared + slack).all()
        assert own.norms[a, lane] == pytest.approx(float((p[i, j] ** 2).sum()), rel=1e-4, abs=1e-5)
        apart = np.linalg.norm(own.centres[a, :-1].astype(float) - other.centres[b, :-1])
        ball = max(0.0, apart - own.radii[a] - other.radii[b]) ** 2
        assert ball <= ((u[i, j] - v[k, m]) ** 2).sum() + slack


def test_patches_and_blocks_outside_the_grid_are_far_from_all() -> None:
    query, image = images(0, 2)
    found = Frame([query], "bilinear").searched(image).blocks
    assert found.table.shape == (64 // 16, 4 * 5, 18, 4)
    assert (found.table[0, 15:, 0, 2:] == np.float32(-1e38)).all()
    assert (found.table[0, :15, 0] > -1e6).all()
    assert (found.centres[20:, -1] > 2e38).all()
    assert (found.centres[20:, :-1] == 0).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_an_image_is_searched_as_it_is_stored_where_its_channels_allow(kind: type[np.floating[Any]]) -> None:
    levels = [
        torch.from_numpy(np.random.default_rng(0).normal(size=size).astype(kind))
        for size in ((7, 10, 16), (4, 5, 33))
    ]
    found = Frame([levels], "bilinear").searched(levels)
    first, second = (level.view(kind) for level in found.levels)
    assert np.shares_memory(first, levels[0].numpy())
    np.testing.assert_array_equal(second[:, :, :33], levels[1].numpy())
    assert second.shape == (4, 5, 48)
    assert not second[:, :, 33:].any()
    assert found.added_bytes == sum(array.nbytes for array in (*found.blocks[:-1], second))


@pytest.mark.parametrize("shape", [(5, 16), (300, 16), (40, 96)])
def test_axes_are_orthonormal_and_hold_most(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(shape[1], shape[1])) * np.linspace(1, 0.01, shape[1])[:, None]
    vectors = torch.from_numpy((rng.normal(size=shape) @ mixing).astype(np.float32))
    axes = principal_axes(vectors, 8)
    torch.testing.assert_close(axes.T @ axes, torch.eye(8), atol=1e-5, rtol=0)
    assert (vectors @ axes).square().sum() > 0.5 * vectors.square().sum()


def test_axes_of_nothing_are_orthonormal() -> None:
    axes = principal_axes(torch.zeros(3, 32), 16)
    torch.testing.assert_close(axes.T @ axes, torch.eye(16), atol=1e-5, rtol=0)
