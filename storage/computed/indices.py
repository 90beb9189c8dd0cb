"""faiss indices, in sealed files."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from storage.store.sealed import about, is_sealed, read_sealed, write_sealed
from storage.store.store import Store, digest


def gallery_digest(keys: Sequence[str]) -> str:
    """Digest of the training images' SHA-256, in the order of the index."""
    return digest(list(keys))


def index_name(keys: Sequence[str], kind: str) -> str:
    """What the index of a kind over these training images is found by."""
    return gallery_digest(keys) if kind == "flat" else f"{gallery_digest(keys)}-{kind}"


def has_index(store: Store, feature_key: str, gallery: str) -> bool:
    """Whether the index over these training rows is complete."""
    return is_sealed(store, store.index(feature_key, gallery))


def write_index(
    store: Store, feature_key: str, gallery: str, index: faiss.Index, recall: float = 1.0
) -> None:
    """Write an index, and with its checksum how many of the nearest rows it finds."""
    content = faiss.serialize_index(index).tobytes()
    record = {"rows": index.ntotal, "recall": recall}
    write_sealed(store, store.index(feature_key, gallery), content, record)


def index_recall(store: Store, feature_key: str, gallery: str) -> float:
    """Share of the nearest rows that a complete index finds, as it was measured."""
    return float(about(store.index(feature_key, gallery))["recall"])


def read_index(store: Store, feature_key: str, gallery: str) -> faiss.Index:
    """Read an index.

    Raises:
        DamagedStoreError: missing, or not the bytes that were written.
    """
    content = read_sealed(store, store.index(feature_key, gallery))
    return faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
