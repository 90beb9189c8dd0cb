"""Pyramids of training images that stay in memory, with what searches made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tasks.core.memory import release

if TYPE_CHECKING:
    from tasks.core.matching.blocks import Frame, Searched

_OFTEN = 2**25  # bytes that stay


class KeptPyramid(tuple[NDArray[Any], ...]):
    """Levels (H, W, C) of an image, finest first, and the image as it is searched in each frame."""

    def __new__(cls, levels: Sequence[NDArray[Any]], _: Callable[[int], bool] | None = None) -> KeptPyramid:
        """The levels."""
        return super().__new__(cls, levels)

    def __init__(self, _: Sequence[NDArray[Any]], has_room: Callable[[int], bool] = lambda _: True) -> None:
        """Nothing is made of them yet; `has_room` says whether so many bytes more may be kept."""
        self._has_room = has_room
        self._searched: dict[Frame, Searched] = {}

    def searched(self, frame: Frame, make: Callable[[], Searched]) -> Searched:
        """The image in a frame, made once where there is room for it."""
        if frame in self._searched:
            return self._searched[frame]
        made = make()
        if self._has_room(made.added_bytes):
            self._searched[frame] = made
        return made


class KeptPyramids:
    """Reads `count` pyramids by name; the first that fit into `memory` bytes, beside one that is read, stay.

    Passes over more images than fit find the same ones in memory each time. What searches make of those that
    stay is kept where all levels leave room for it: it is made anew faster than levels are read. What reading
    leaves between them is given back now and then.
    """

    def __init__(self, read: Callable[[str], Sequence[NDArray[Any]]], memory: float, count: int) -> None:
        """Nothing is read yet."""
        self._read, self._room = read, _Room(memory, count)
        self._kept: dict[str, KeptPyramid] = {}

    def __call__(self, name: str) -> KeptPyramid:
        """The levels of an image."""
        if name in self._kept:
            return self._kept[name]
        levels = self._read(name)
        if not self._room.takes_levels(sum(level.nbytes for level in levels)):
            return KeptPyramid(levels, lambda _: False)
        self._kept[name] = KeptPyramid(levels, self._room.takes)
        return self._kept[name]


class _Room:
    """Bytes of memory, and what of it is taken by images, of which `count` may come."""

    def __init__(self, memory: float, count: int) -> None:
        self._memory, self._to_come = memory, count
        self._taken, self._given_back, self._levels = 0, 0, 0  # bytes, the last those of an image's levels

    def takes_levels(self, size: int) -> bool:
        """Whether an image's levels are taken: beside them one is read, unless they are the last."""
        self._levels = size
        if not self._take(size, beside=size if self._to_come > 1 else 0):
            return False
        self._to_come -= 1
        return True

    def takes(self, size: int) -> bool:
        """Whether bytes made of an image's levels are taken: all levels that are to come go first."""
        return self._take(size, beside=self._to_come * self._levels)

    def _take(self, size: int, beside: int) -> bool:
        if self._taken + size + beside > self._memory:
            return False
        self._taken += size
        if self._taken - self._given_back > _OFTEN:
            self._given_back = self._taken
            release()
        return True
