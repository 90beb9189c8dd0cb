"""Files with their SHA-256 beside them: what reads them would load a flipped bit in silence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from storage.errors import DamagedStoreError
from storage.store.location import Location, read_bytes
from storage.store.store import Store

_UNREADABLE = (OSError, ValueError, KeyError, TypeError)


def is_sealed(store: Store, path: Location) -> bool:
    """Whether a file and its seal are there."""
    return store.exists(path) and store.exists(_seal(path))


def write_sealed(store: Store, path: Location, content: bytes, about: Mapping[str, Any]) -> None:
    """Write a file, then its seal: the SHA-256, and what else is to be known about the file."""
    store.write(path, content)
    record = {"sha256": hashlib.sha256(content).hexdigest(), **about}
    store.write(_seal(path), json.dumps(record, indent=1, sort_keys=True).encode())


def read_sealed(store: Store, path: Location) -> bytes:
    """Read a file.

    Raises:
        DamagedStoreError: missing, or not the bytes that were written.
    """
    try:
        return _verified(path)
    except _UNREADABLE as error:
        raise DamagedStoreError(path, error, store.root) from error


def parts(path: Location) -> list[Location]:
    """The seal and the file, in the order to remove them."""
    return [_seal(path), path]


def about(path: Location) -> dict[str, Any]:
    """What the seal of a file says of it."""
    return dict(json.loads(read_bytes(_seal(path))))


def damage(path: Location) -> str | None:
    """What is wrong with a file or its seal, or None."""
    try:
        _verified(path)
    except _UNREADABLE as error:
        return str(error)
    return None


def _verified(path: Location) -> bytes:
    content = read_bytes(path)
    if about(path)["sha256"] != hashlib.sha256(content).hexdigest():
        raise ValueError("its SHA-256 is not the one recorded")
    return content


def _seal(path: Location) -> Location:
    return path.with_suffix(".json")
