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

    def __init__(self, _: Sequence[NDArray[Any]]) -> None:
        """Nothing is made of them yet."""
        self.searched: dict[Frame, Searched] = {}

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(level.nbytes for level in self) + sum(each.added_bytes for each in self.searched.values())


class KeptPyramids:
    """Reads pyramids by name; the first that fit into `memory` bytes, beside one that is read, stay.

    Passes over more images than fit find the same ones in memory each time. `count` says how many there are:
    the last is read beside none. What reading leaves between those that stay is given back now and then.
    """

    def __init__(self, read: Callable[[str], Sequence[NDArray[Any]]], memory: float, count: int) -> None:
        """Nothing is read yet."""
        self._read, self._memory, self._count, self._is_full = read, memory, count, False
        self._kept: dict[str, KeptPyramid] = {}
        self._new = 0

    def __call__(self, name: str) -> KeptPyramid:
        """The levels of an image."""
        if name in self._kept:
            return self._kept[name]
        pyramid = KeptPyramid(self._read(name))
        if not self._is_full:
            others = 0 if len(self._kept) + 1 == self._count else pyramid.nbytes
            total = sum(kept.nbytes for kept in (pyramid, *self._kept.values())) + others
            self._is_full = total > self._memory
            if not self._is_full:
                self._kept[name] = pyramid
                self._new += pyramid.nbytes
                if self._new > _OFTEN:
                    self._new = 0
                    release()
        return pyramid
