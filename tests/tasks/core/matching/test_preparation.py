from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.matching.preparation import UNCHANGED, Preparation, averaged, unit


@given(st.integers(1, 6), st.integers(1, 7), st.sampled_from([1, 3, 5, 7]), st.integers(0, 99))
def test_a_mean_is_of_the_cells_that_are_inside(height: int, width: int, cells: int, seed: int) -> None:
    level = np.random.default_rng(seed).normal(size=(height, width, 2)).astype(np.float32)
    found = averaged(torch.from_numpy(level), cells)
    assert found.is_contiguous()
    far = cells // 2
    for i, j in np.ndindex(height, width):
        near = level[max(0, i - far) : i + far + 1, max(0, j - far) : j + far + 1]
        np.testing.assert_allclose(found[i, j], near.mean(axis=(0, 1)), atol=1e-5)


def test_vectors_of_length_zero_stay() -> None:
    level = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    assert unit(level).tolist() == [[[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]]


def test_levels_are_averaged_then_normalised_then_joined() -> None:
    rng = np.random.default_rng(0)
    fine, coarse = (torch.from_numpy(rng.normal(size=size)).float() for size in ((4, 6, 3), (2, 3, 5)))
    same = UNCHANGED.apply([fine, coarse], "bilinear")
    assert all(one is other for one, other in zip(same, (fine, coarse), strict=True))
    apart = Preparation(3, unit_levels=True).apply([fine, coarse], "bilinear")
    for one, other in zip(apart, (fine, coarse), strict=True):
        torch.testing.assert_close(one, unit(averaged(other, 3)))
    (joined,) = Preparation(unit_patches=True).apply([fine, coarse], "nearest")
    assert joined.shape == (4, 6, 8)
    torch.testing.assert_close(joined.norm(dim=2), torch.ones(4, 6))
    torch.testing.assert_close(
        joined[1, 3],
        torch.cat([fine[1, 3], coarse[0, 1]])
        / joined.new_tensor(float(torch.cat([fine[1, 3], coarse[0, 1]]).norm())),
    )
