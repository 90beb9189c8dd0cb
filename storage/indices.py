"""faiss indices, each with its SHA-256 beside it: faiss itself would load a flipped bit in silence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from storage.errors import DamagedStoreError
from storage.layout import Store, digest


def gallery_digest(keys: Sequence[str]) -> str:
    """Digest of the training images' SHA-256, in the order of the index."""
    return digest(list(keys))


def has_index(store: Store, feature_key: str, gallery: str) -> bool:
    """Whether the index over these training rows is complete."""
    return store.index(feature_key, gallery, "json").exists()


def write_index(store: Store, feature_key: str, gallery: str, index: faiss.Index) -> None:
    """Write an index, then its checksum."""
    content = faiss.serialize_index(index).tobytes()
    store.write(store.index(feature_key, gallery, "faiss"), content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), "rows": index.ntotal}
    store.write(store.index(feature_key, gallery, "json"), json.dumps(record).encode())


def read_index(store: Store, feature_key: str, gallery: str) -> faiss.Index:
    """Read an index.

    Raises:
        DamagedStoreError: missing, or not the bytes that were written.
    """
    path = store.index(feature_key, gallery, "faiss")
    reason = damage(path)
    if reason is not None:
        raise DamagedStoreError(path, reason, store.root)
    return faiss.deserialize_index(np.frombuffer(path.read_bytes(), dtype=np.uint8))


def damage(path: Path) -> str | None:
    """What is wrong with an index file, or None."""
    try:
        expected = json.loads(path.with_suffix(".json").read_text())["sha256"]
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError) as error:
        return str(error)
    return None if actual == expected else "its SHA-256 is not the one recorded"
