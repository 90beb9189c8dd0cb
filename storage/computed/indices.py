"""faiss indices, in sealed files."""

from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from storage.store.sealed import is_sealed, read_sealed, write_sealed
from storage.store.store import Store, digest


def gallery_digest(keys: Sequence[str]) -> str:
    """Digest of the training images' SHA-256, in the order of the index."""
    return digest(list(keys))


def has_index(store: Store, feature_key: str, gallery: str) -> bool:
    """Whether the index over these training rows is complete."""
    return is_sealed(store, store.index(feature_key, gallery))


def write_index(store: Store, feature_key: str, gallery: str, index: faiss.Index) -> None:
    """Write an index, and with its checksum the number of rows."""
    content = faiss.serialize_index(index).tobytes()
    write_sealed(store, store.index(feature_key, gallery), content, {"rows": index.ntotal})


def read_index(store: Store, feature_key: str, gallery: str) -> faiss.Index:
    """Read an index.

    Raises:
        DamagedStoreError: missing, or not the bytes that were written.
    """
    content = read_sealed(store, store.index(feature_key, gallery))
    return faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))
