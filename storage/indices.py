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

_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def gallery_digest(keys: Sequence[str]) -> str:
    """Digest of the training images' SHA-256, in the order of the index."""
    return digest(list(keys))


def has_index(store: Store, feature_key: str, gallery: str) -> bool:
    """Whether the index over these training rows is complete."""
    return all(store.index(feature_key, gallery, suffix).exists() for suffix in ("faiss", "json"))


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
    try:
        content = _verified(path)
    except _UNREADABLE as error:
        raise DamagedStoreError(path, error, store.root) from error
    return faiss.deserialize_index(np.frombuffer(content, dtype=np.uint8))


def damage(path: Path) -> str | None:
    """What is wrong with an index file, or None."""
    try:
        _verified(path)
    except _UNREADABLE as error:
        return str(error)
    return None


def _verified(path: Path) -> bytes:
    content = path.read_bytes()
    if json.loads(path.with_suffix(".json").read_text())["sha256"] != hashlib.sha256(content).hexdigest():
        raise ValueError("its SHA-256 is not the one recorded")
    return content
