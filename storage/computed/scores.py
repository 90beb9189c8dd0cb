"""Scores of test images, found by content: anomaly map, image scores, neighbours; and their metrics."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.store.location import read_bytes
from storage.store.segments import Segments
from storage.store.store import Store, digest
from storage.store.tables import table_of

_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("score_embedding", pa.float64(), nullable=False),
        pa.field("score_map", pa.float64()),
        pa.field("neighbors", pa.list_(pa.int32()), nullable=False),
        pa.field("squared_distances", pa.list_(pa.float64()), nullable=False),
    ]
)


@dataclass(frozen=True)
class ImageScore:
    """What is known of one test image.

    `score_embedding` is by the method's own rule, for SPADE equation 2, and `score_map` by the anomaly map,
    where the method has one. `neighbors` are positions in the sorted training images, of SPADE alone.
    """

    sha256: str
    score_embedding: float
    score_map: float | None
    neighbors: list[int]
    squared_distances: list[float]


class Scores:
    """The rows of one score key: a record each, and an anomaly map (R, R) float32 if the method has maps."""

    def __init__(self, store: Store, score_key: str) -> None:
        """Open the scores of a key; there may be none yet."""
        self._store = store
        self._score_key = score_key
        self._segments = Segments(store, store.scores(score_key))

    def describe(self, description: Mapping[str, Any]) -> None:
        """Keep what the score key is a digest of."""
        self._segments.describe(description)

    def is_described(self) -> bool:
        """Whether that is kept already."""
        return self._segments.is_described()

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record, each once, in their order."""
        return self._segments.missing(keys)

    def __contains__(self, key: object) -> bool:
        """Whether an image has a record."""
        return key in self._segments

    def append(self, scores: Sequence[ImageScore], maps: NDArray[np.float32] | None) -> None:
        """Write a batch: B records and anomaly maps (B, R, R), or None of a method that has none."""
        arrays = {} if maps is None else {"map": maps}
        self._segments.append(table_of((asdict(score) for score in scores), _SCHEMA), arrays)

    def read(self, key: str) -> ImageScore:
        """The record of one image."""
        return ImageScore(**self._segments.record(key))

    def anomaly_map(self, key: str) -> NDArray[np.float32]:
        """The anomaly map (R, R) of one image; KeyError if it has none."""
        return self._segments.read(key, "map")

    def metrics(self, labels: str) -> dict[str, Any] | None:
        """Metrics computed before against the same labels and masks, or None."""
        try:
            kept = json.loads(read_bytes(self._store.metrics(self._score_key, labels)))
            whole = kept["digest"] == digest([kept["metrics"], kept["profile_sha256"]])
            if not whole or self._profile_bytes(labels, kept["profile_sha256"]) is None:
                return None
            return dict(kept["metrics"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def profile(self, labels: str) -> dict[str, NDArray[Any]] | None:
        """The arrays kept with these metrics; None if there are none, or they are damaged."""
        try:
            kept = json.loads(read_bytes(self._store.metrics(self._score_key, labels)))
            content = self._profile_bytes(labels, kept["profile_sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not content:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    def write_metrics(
        self, labels: str, metrics: Mapping[str, Any], profile: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        """Keep metrics for the next run that needs the same, and before them the arrays they come with."""
        content = b""
        if profile is not None:
            sink = io.BytesIO()
            np.savez_compressed(sink, allow_pickle=False, **profile)
            content = sink.getvalue()
            self._store.write(self._store.metrics(self._score_key, labels, "npz"), content)
        sha256 = hashlib.sha256(content).hexdigest() if content else None
        kept = {"digest": digest([metrics, sha256]), "metrics": metrics, "profile_sha256": sha256}
        encoded = json.dumps(kept, sort_keys=True, allow_nan=False).encode()
        self._store.write(self._store.metrics(self._score_key, labels), encoded)

    def _profile_bytes(self, labels: str, sha256: str | None) -> bytes | None:
        """The file of arrays with this SHA-256, empty if there is to be none; None if it is another."""
        if sha256 is None:
            return b""
        content = read_bytes(self._store.metrics(self._score_key, labels, "npz"))
        return content if hashlib.sha256(content).hexdigest() == sha256 else None
