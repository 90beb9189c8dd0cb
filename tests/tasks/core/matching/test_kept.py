from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.core.matching.kept import KeptPyramids
from tasks.core.matching.matching import Matching, match_each

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


def test_what_searches_made_of_images_counts() -> None:
    """What one image takes beyond the room is found out when the next is read."""
    pyramids = KeptPyramids(levels, 4 * BYTES, 5)
    first = pyramids("1")
    assert first.nbytes == BYTES
    match_each(levels("0"), [first], [Matching((0, 1))], frames={})
    assert first.nbytes > 4 * BYTES
    assert pyramids("1") is first
    assert pyramids("2") is not pyramids("2")
