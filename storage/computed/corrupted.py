"""Scores of images that were made worse, found by a digest of the image and of what was done to it.

Their features and maps are not kept: eight corruptions in five severities are forty times the test images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.tables import table_of

_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("score_embedding", pa.float64(), nullable=False),
        pa.field("score_map", pa.float64()),
        pa.field("peak", pa.float64()),
    ]
)


@dataclass(frozen=True)
class CorruptedScore:
    """The scores of one image made worse; those of its map are None by a method that has none.

    `sha256` stands for the image and what was done to it; `peak` is the highest value of the map.
    """

    sha256: str
    score_embedding: float
    score_map: float | None
    peak: float | None


class CorruptedScores:
    """The records of one score key."""

    def __init__(self, store: Store, score_key: str) -> None:
        """Open the records of a key; there may be none yet."""
        self._segments = Segments(store, store.corrupted(score_key))

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record, each once, in their order."""
        return self._segments.missing(keys)

    def append(self, scores: Sequence[CorruptedScore]) -> None:
        """Write a batch of records."""
        self._segments.append(table_of((asdict(score) for score in scores), _SCHEMA), {})

    def read(self, key: str) -> CorruptedScore:
        """The record of one image; KeyError if there is none."""
        return CorruptedScore(**self._segments.record(key))
