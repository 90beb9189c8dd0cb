"""Crops of images that `ingest` decoded, until `extract` takes them: a new image is read and decoded once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Hashable
from threading import Lock
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.computed.looks import Look
from tasks.core.metrics.drift import look
from tasks.core.networks.preprocess import cropped
from tasks.job import Job
from tasks.progress import LOGGER

_ROOM = 2**31  # bytes of the temporary file: 14,000 crops of 224x224


class _Place(NamedTuple):
    """Where a crop lies in the file, and what belongs to it."""

    offset: int
    shape: tuple[int, ...]
    look: Look


class Crops:
    """Crops (H, W, 3) uint8 and the looks of whole images, in a temporary file; each is taken once.

    One that is not there is no error: whoever wants it decodes the image. Threads may share it.
    """

    def __init__(self, room: int = _ROOM) -> None:
        """Make none yet; of those beyond `room` bytes none is kept."""
        self._room = room
        self._lock = Lock()
        self._places: dict[Hashable, _Place] = {}
        self._file: IO[bytes] | None = None
        self._end = 0

    def put(self, key: Hashable, crop: NDArray[np.uint8], seen: Look) -> None:
        """Keep a crop, if there is room; OSError if the disk refuses."""
        with self._lock:
            if self._end + crop.nbytes > self._room:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it is closed by `_empty`)
            self._file.seek(self._end)
            if self._file.write(crop.tobytes()) == crop.nbytes:
                self._places[key] = _Place(self._end, crop.shape, seen)
                self._end += crop.nbytes

    def take(self, key: Hashable) -> tuple[NDArray[np.uint8], Look] | None:
        """A crop and its look, which are let go; the last takes the file with it."""
        with self._lock:
            place = self._places.pop(key, None)
            if place is None or self._file is None:
                return None
            content = os.pread(self._file.fileno(), int(np.prod(place.shape)), place.offset)
            if not self._places:
                self._empty()
        return np.frombuffer(content, np.uint8).reshape(place.shape), place.look

    def clear(self) -> None:
        """Let all go."""
        with self._lock:
            self._empty()

    def _empty(self) -> None:
        if self._file is not None:
            self._file.close()
        self._places, self._file, self._end = {}, None, 0


CROPS = Crops()


def setting_by(job: Job) -> Callable[[str, NDArray[np.uint8]], None]:
    """What sets by the crop and the look of an image (H, W, 3), given its SHA-256.

    What earlier runs left is let go. Images that are cut in tiles may be too large for all threads to look at
    one at once, and are not set by.
    """
    CROPS.clear()
    how = job.configuration.preprocessing

    def set_by(sha256: str, image: NDArray[np.uint8]) -> None:
        if how.tile is None:
            try:
                CROPS.put((sha256, how), cropped(image, how), look(image))
            except (OSError, ValueError, MemoryError) as error:  # nothing is lost but time
                LOGGER.info("an image is decoded again later: %r", error)

    return set_by
