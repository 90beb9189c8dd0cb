"""Embeddings and feature pyramids of images, found by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.store.segments import Segments
from storage.store.store import Store

_SCHEMA = pa.schema([pa.field("sha256", pa.string(), nullable=False)])


class Features:
    """The rows of one feature key: `embedding` (D,) and `level_L` (H, W, C) for each level L."""

    def __init__(self, store: Store, feature_key: str) -> None:
        """Open the features of a key; there may be none yet."""
        self._segments = Segments(store, store.features(feature_key))

    def describe(self, description: Mapping[str, Any]) -> None:
        """Keep what the feature key is a digest of."""
        self._segments.describe(description)

    def __contains__(self, key: str) -> bool:
        """Whether an image has features, as far as is known."""
        return key in self._segments

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record, each once, in their order."""
        return self._segments.missing(keys)

    def append(
        self, keys: Sequence[str], embeddings: NDArray[Any], levels: Mapping[int | str, NDArray[Any]]
    ) -> None:
        """Write a batch: embeddings (B, D), and (B, H, W, C) for each level."""
        arrays = {"embedding": embeddings} | {f"level_{level}": rows for level, rows in levels.items()}
        self._segments.append(pa.table({"sha256": list(keys)}, schema=_SCHEMA), arrays)

    def embeddings(self, keys: Sequence[str]) -> NDArray[np.float32]:
        """Embeddings (N, D) float32."""
        return self._segments.read_all(keys, "embedding").astype(np.float32)

    def pyramid(self, key: str, levels: Sequence[int | str]) -> list[NDArray[Any]]:
        """These levels (H, W, C) of one image, in their order."""
        return [self._segments.read(key, f"level_{level}") for level in levels]
