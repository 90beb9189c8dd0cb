"""Scores that were computed with other training images, and that still hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.needs import TRAIN
from storage.computed.scores import ImageScore, Scores
from storage.errors import DamagedStoreError
from storage.store.records import new_name
from storage.store.segments import descriptions
from storage.store.store import Store, digest

_TRAINING = ("training", TRAIN)
_LOOKED_AT = 10  # scores with other training images, the last ones


class EarlierScores:
    """The scores of a category by a method and its settings, each with other training images.

    Scores depend on an image's nearest training images alone: where these are the same, so are the scores.
    """

    def __init__(self, store: Store, of: tuple[str, str], description: Mapping[str, Any]) -> None:
        """Those of a dataset's category, `of`, with the features and settings described."""
        settings = {name: value for name, value in description.items() if name not in _TRAINING}
        self._store = store
        self._folder = store.alike(digest([*of, settings]))

    def note(self, score_key: str) -> None:
        """Let these scores be found when the training images are others."""
        self._store.write(self._folder / f"{new_name()}~{score_key}", b"")

    def alike(self, train: Sequence[str]) -> list[Alike]:
        """The last of those that have other training images than these, the newest first."""
        names = [path.name.rpartition("~")[2] for path in reversed(self._store.entries(self._folder))]
        keys = list(dict.fromkeys(names))[:_LOOKED_AT]
        described = descriptions(self._store, [self._store.scores(key) for key in keys])
        found = []
        for key, description in zip(keys, described, strict=True):
            trained = description.get(TRAIN)
            if trained not in (None, list(train)):
                found.append(Alike(Scores(self._store, key), trained))
        return found


@dataclass(frozen=True)
class Alike:
    """Scores, and the training images that their neighbors are positions in."""

    scores: Scores
    train: list[str]

    def find(
        self, key: str, train: Sequence[str], positions: Sequence[int]
    ) -> tuple[ImageScore, NDArray[np.float32] | None] | None:
        """Record and map of an image, or None; `positions` of `train` are its nearest training images."""
        if key not in self.scores:
            return None
        record = self.scores.read(key)
        if [self.train[position] for position in record.neighbors] != [train[each] for each in positions]:
            return None
        with suppress(DamagedStoreError):
            anomaly_map = None if record.score_map is None else self.scores.anomaly_map(key)
            return replace(record, neighbors=list(positions)), anomaly_map
        return None
