"""How bright and how rich in contrast images are, found by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from storage.store.segments import Segments
from storage.store.store import Store

_SCHEMA = pa.schema(
    [
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("brightness", pa.float64(), nullable=False),
        pa.field("contrast", pa.float64(), nullable=False),
    ]
)
Look = tuple[float, float]


class Looks:
    """Brightness and contrast of each image; no network has a part in them."""

    def __init__(self, store: Store) -> None:
        """Open those of a store; there may be none yet."""
        self._segments = Segments(store, store.looks())

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record, each once, in their order."""
        return self._segments.missing(keys)

    def append(self, looks: Mapping[str, Look]) -> None:
        """Keep brightness and contrast by key."""
        rows = [{"sha256": key, "brightness": look[0], "contrast": look[1]} for key, look in looks.items()]
        self._segments.append(pa.Table.from_pylist(rows, schema=_SCHEMA), {})

    def read(self, key: str) -> Look:
        """Brightness and contrast of an image; KeyError if there is no record."""
        record = self._segments.record(key)
        return record["brightness"], record["contrast"]
