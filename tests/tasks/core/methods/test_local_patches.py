from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from drawn_features import draw_image
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool1d

from tasks.core.matching.preparation import averaged
from tasks.core.matching.pyramid import concatenate
from tasks.core.methods import local_patches as module
from tasks.core.methods.local_patches import local_patches

Shapes = Sequence[tuple[int, int, int]]


def all_at_once(pyramid: Sequence[NDArray[np.float16]], dimension: int) -> NDArray[np.float32]:
    levels = [averaged(torch.from_numpy(level.astype(np.float32)), 3) for level in pyramid]
    joined = concatenate([adaptive_avg_pool1d(level, dimension) for level in levels], "bilinear")
    return adaptive_avg_pool1d(joined, dimension).flatten(0, 1).numpy()


@pytest.mark.parametrize("positions", [1, 50, 100, 10_000])
@pytest.mark.parametrize(
    ("shapes", "strips"),
    [
        ([(24, 7, 5), (12, 4, 9)], {1: 12, 50: 4, 100: 2, 10_000: 1}),
        ([(24, 31, 48), (12, 16, 96), (6, 8, 33)], {1: 6, 50: 6, 100: 6, 10_000: 1}),
        ([(24, 7, 5), (24, 7, 3)], {1: 24, 50: 4, 100: 2, 10_000: 1}),
        ([(23, 7, 5)], {1: 23, 50: 4, 100: 2, 10_000: 1}),
        ([(24, 7, 5), (8, 4, 9)], dict.fromkeys([1, 50, 100, 10_000], 1)),
        ([(23, 7, 5), (12, 4, 9)], dict.fromkeys([1, 50, 100, 10_000], 1)),
    ],
    ids=["halves", "three", "equal", "alone", "thirds", "odd"],
)
def test_patches_are_the_same_in_strips_of_any_size(
    shapes: Shapes, strips: dict[int, int], positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_POSITIONS", positions)
    _, pyramid = draw_image(np.random.default_rng(0), dict(enumerate(shapes)))
    found = list(local_patches(pyramid, 20))
    assert len(found) == strips[positions]
    np.testing.assert_array_equal(np.concatenate(found), all_at_once(pyramid, 20))
