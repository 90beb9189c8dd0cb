from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.core.matching.kept import KeptPyramids

SIZES = ((8, 8, 16), (4, 4, 20))
BYTES = sum(int(np.prod(size)) for size in SIZES) * 2


def levels(name: str) -> list[NDArray[np.float16]]:
    rng = np.random.default_rng(int(name))
    return [rng.normal(size=size).astype(np.float16) for size in SIZES]


@pytest.mark.parametrize(
    ("room", "kept"), [(0, 0), (2 * BYTES - 1, 0), (3 * BYTES, 2), (4.5 * BYTES, 3), (5 * BYTES, 5)]
)
def test_the_first_images_that_fit_are_read_once(room: float, kept: int) -> None:
    reads: list[str] = []

    def read(name: str) -> list[NDArray[np.float16]]:
        reads.append(name)
        return levels(name)

    pyramids = KeptPyramids(read, room, 5)
    names = ["3", "1", "4", "5", "2"]
    for name in names * 3:
        for level, expected in zip(pyramids(name), levels(name), strict=True):
            np.testing.assert_array_equal(level, expected)
    assert reads == names + 2 * names[kept:]


@pytest.mark.parametrize(
    ("room", "kept", "made"), [(4 * BYTES, 3, 10), (5 * BYTES, 5, 10), (9 * BYTES, 5, 8), (13 * BYTES, 5, 6)]
)
def test_all_levels_stay_before_what_searches_made_of_them(room: float, kept: int, made: int) -> None:
    """Of two passes over five images, of which a search makes two images' bytes each; it finds the kept."""
    reads: list[str] = []
    makes: list[str] = []
    frame: Any = object()

    def read(name: str) -> list[NDArray[np.float16]]:
        reads.append(name)
        return levels(name)

    def make(name: str) -> Any:
        makes.append(name)
        return SimpleNamespace(added_bytes=2 * BYTES, name=name)

    pyramids = KeptPyramids(read, room, 5)
    names = ["3", "1", "4", "5", "2"]
    for name in names * 2:
        found: Any = pyramids(name).searched(frame, partial(make, name))
        assert found.name == name
    assert (len(reads), len(makes)) == (10 - kept, made)
