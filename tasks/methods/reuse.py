"""Scores that were computed with other training images, and that still hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import ImageScore, Scores
from storage.errors import DamagedStoreError
from storage.store.store import Store

TRAIN = "train"  # in a description: the training images, which "training" is a digest of
_TRAINING = ("training", TRAIN)


class EarlierScores:
    """The scores in a store, by what they were computed with; their descriptions are read once.

    Scores depend on an image's nearest training images alone: where these are the same, so are the scores.
    """

    def __init__(self, store: Store) -> None:
        """Look among the scores of this store."""
        self._store = store

    def alike(self, description: Mapping[str, Any], train: Sequence[str]) -> list[Alike]:
        """Those with the features and settings described, and with other training images than these."""
        wanted = _without_training(json.loads(json.dumps(description)))
        return [
            Alike(Scores(self._store, name), other[TRAIN])
            for name, other in self._descriptions.items()
            if other.get(TRAIN, train) != train and _without_training(other) == wanted
        ]

    @cached_property
    def _descriptions(self) -> dict[str, dict[str, Any]]:
        groups = self._store.holding(self._store.scores(), "group.json")
        contents = self._store.read_all([group / "group.json" for group in groups])
        return {group.name: json.loads(content) for group, content in zip(groups, contents, strict=True)}


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


def _without_training(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name not in _TRAINING}
