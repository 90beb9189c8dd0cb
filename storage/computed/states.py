"""What methods learned of training images: arrays in one sealed file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.store.sealed import is_sealed, read_sealed, write_sealed
from storage.store.store import Store


def has_state(store: Store, key: str) -> bool:
    """Whether the state is complete."""
    return is_sealed(store, store.state(key))


def write_state(
    store: Store, key: str, description: Mapping[str, Any], state: Mapping[str, NDArray[Any]]
) -> None:
    """Write a state, and with its checksum what the key is a digest of."""
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **state)
    write_sealed(store, store.state(key), sink.getvalue(), {"of": description})


def read_state(store: Store, key: str) -> dict[str, NDArray[Any]]:
    """Read a state.

    Raises:
        DamagedStoreError: missing, or not the bytes that were written.
    """
    content = read_sealed(store, store.state(key))
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
