"""Scores that were computed with other training images, and that still hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import DamagedStoreError
from storage.layout import Store
from storage.scores import ImageScore, Scores

TRAIN = "train"  # in a description: the training images, which the key's gallery is a digest of
_GALLERY = ("gallery", TRAIN)


class EarlierScores:
    """Scores with the same features and settings as a description, whose training images are others.

    Scores depend on an image's nearest training images alone: where these are the same, so are the scores.
    """

    def __init__(self, store: Store, description: Mapping[str, Any]) -> None:
        """Look among the store's scores for those described alike but for the training images."""
        self._store = store
        self._description = json.loads(json.dumps(description))

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._others)

    def find(
        self, key: str, train: Sequence[str], positions: Sequence[int]
    ) -> tuple[ImageScore, NDArray[np.float32]] | None:
        """Record and map of an image whose nearest training images are `positions` of `train`, or None."""
        neighbors = [train[position] for position in positions]
        for scores, images in self._others:
            if key in scores:
                record = scores.read(key)
                if [images[position] for position in record.neighbors] == neighbors:
                    with suppress(DamagedStoreError):
                        return replace(record, neighbors=list(positions)), scores.anomaly_map(key)
        return None

    @cached_property
    def _others(self) -> list[tuple[Scores, list[str]]]:
        if "random_gallery_seed" in self._description:  # drawn from all training images
            return []
        groups = self._store.holding(self._store.scores(), "group.json")
        contents = self._store.read_all([group / "group.json" for group in groups])
        found = []
        for group, content in zip(groups, contents, strict=True):
            other = json.loads(content)
            if TRAIN in other and _without_gallery(other) == _without_gallery(self._description):
                found.append((Scores(self._store, group.name), other[TRAIN]))
        return found


def _without_gallery(description: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in description.items() if name not in _GALLERY}
