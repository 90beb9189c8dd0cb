"""Scores of test images, found by content: anomaly map, image scores, neighbours; and their metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.layout import Store, digest
from storage.segments import Segments
from storage.tables import table_of

_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("score_embedding", pa.float64(), nullable=False),
        pa.field("score_map", pa.float64(), nullable=False),
        pa.field("neighbors", pa.list_(pa.int32()), nullable=False),
        pa.field("squared_distances", pa.list_(pa.float64()), nullable=False),
    ]
)


@dataclass(frozen=True)
class ImageScore:
    """What is known of one test image. `neighbors` are positions in the sorted training images."""

    sha256: str
    score_embedding: float
    score_map: float
    neighbors: list[int]
    squared_distances: list[float]


class Scores:
    """The rows of one score key: a record and an anomaly map (R, R) float32 each."""

    def __init__(self, store: Store, score_key: str) -> None:
        """Open the scores of a key; there may be none yet."""
        self._store = store
        self._score_key = score_key
        self._segments = Segments(store, store.scores(score_key))

    def describe(self, description: Mapping[str, Any]) -> None:
        """Keep what the score key is a digest of."""
        self._segments.describe(description)

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record, each once, in their order."""
        return self._segments.missing(keys)

    def append(self, scores: Sequence[ImageScore], maps: NDArray[np.float32]) -> None:
        """Write a batch: B records and anomaly maps (B, R, R)."""
        self._segments.append(table_of((asdict(score) for score in scores), _SCHEMA), {"map": maps})

    def read(self, key: str) -> ImageScore:
        """The record of one image."""
        return ImageScore(**self._segments.record(key))

    def anomaly_map(self, key: str) -> NDArray[np.float32]:
        """The anomaly map (R, R) of one image."""
        return self._segments.read(key, "map")

    def metrics(self, labels: str) -> dict[str, Any] | None:
        """Metrics computed before against the same labels and masks, or None."""
        try:
            kept = json.loads(self._store.metrics(self._score_key, labels).read_text())
            return dict(kept["metrics"]) if kept["digest"] == digest(kept["metrics"]) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_metrics(self, labels: str, metrics: Mapping[str, Any]) -> None:
        """Keep metrics for the next run that needs the same."""
        kept = {"digest": digest(metrics), "metrics": metrics}
        content = json.dumps(kept, sort_keys=True, allow_nan=False).encode()
        self._store.write(self._store.metrics(self._score_key, labels), content)
