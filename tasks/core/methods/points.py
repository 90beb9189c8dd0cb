"""Points in bounded memory: those that fit are held, the others lie in a temporary file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

_CHUNK = 4096  # points read from the file at once


class Points:
    """Points (N, C) float32, filled from the first to the last; a context, which removes the file.

    What is read is the same wherever the points lie.
    """

    def __init__(self, count: int, channels: int, memory: float = float("inf")) -> None:
        """Make room for `count` points, of which as many are held as fit into `memory` bytes."""
        self._count, self._channels, self._size = count, channels, 4 * channels
        self._held = np.empty((int(max(0, min(count, memory / self._size))), channels), np.float32)
        self._filled = 0
        self._file = tempfile.TemporaryFile() if len(self._held) < count else None  # noqa: SIM115

    @classmethod
    def of(cls, points: NDArray[np.float32], memory: float = float("inf")) -> Self:
        """These points (N, C)."""
        made = cls(len(points), points.shape[1], memory)
        made.append(points)
        return made

    def __len__(self) -> int:
        """How many points there are room for."""
        return self._count

    def __enter__(self) -> Self:
        """The points."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go what is held, and remove the file, if there is one."""
        self._held = self._held[:0].copy()
        if self._file:
            self._file.close()

    def append(self, points: NDArray[np.float32]) -> None:
        """Fill in the next points (n, C)."""
        held = max(0, min(len(points), len(self._held) - self._filled))
        self._held[self._filled : self._filled + held] = points[:held]
        self._filled += len(points)
        if self._file and held < len(points):
            self._file.seek(0, 2)
            self._file.write(points[held:].astype(np.float32, copy=False).tobytes())

    def chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All points, some at a time: the position of the first, and they (n, C), valid until the next."""
        if len(self._held):
            yield 0, self._held
        room = np.empty((min(_CHUNK, self._count - len(self._held)), self._channels), np.float32)
        for start in range(len(self._held), self._count, _CHUNK):
            chunk = room[: min(_CHUNK, self._count - start)]
            self._read(start, chunk)
            yield start, chunk

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """The points (n, C) at some positions (n,)."""
        found = np.empty((len(positions), self._channels), np.float32)
        held = positions < len(self._held)
        found[held] = self._held[positions[held]]
        for place in np.flatnonzero(~held):
            self._read(int(positions[place]), found[place : place + 1])
        return found

    def _read(self, start: int, out: NDArray[np.float32]) -> None:
        """Read points from `start` on into a contiguous array."""
        if self._file is None:
            raise IndexError(f"point {start} of {self._count}")
        self._file.seek((start - len(self._held)) * self._size)
        if self._file.readinto(out.data.cast("B")) < out.nbytes:
            raise IndexError(f"point {start} of {self._count} was not filled in")
