from __future__ import annotations

import numpy as np
import pytest
from tampering import flip

from storage.computed.states import has_state, read_state, write_state
from storage.errors import DamagedStoreError
from storage.store.sealed import damage
from storage.store.store import Store

STATE = {"mean": np.arange(6, dtype=np.float32).reshape(2, 3), "grid": np.array([2, 3])}


def test_a_state_is_read_as_it_was_written(store: Store) -> None:
    assert not has_state(store, "key")
    assert store.states() == []
    write_state(store, "key", {"method": "padim"}, STATE)
    assert has_state(store, "key")
    found = read_state(store, "key")
    assert found.keys() == STATE.keys()
    for name, values in STATE.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    assert [damage(path) for path in store.states()] == [None]


def test_a_state_without_its_checksum_is_not_there(store: Store) -> None:
    write_state(store, "key", {}, STATE)
    store.remove([store.state("key", "json")])
    assert not has_state(store, "key")
    with pytest.raises(DamagedStoreError, match="spade repair"):
        read_state(store, "key")


@pytest.mark.parametrize("place", [0, 60, -1])
def test_a_flipped_bit_is_found(store: Store, place: int) -> None:
    write_state(store, "key", {}, STATE)
    flip(store.state("key", "npz"), place)
    with pytest.raises(
        DamagedStoreError, match=r"key\.npz is damaged \(its SHA-256 is not the one recorded\)"
    ):
        read_state(store, "key")
    assert damage(store.states()[0]) == "its SHA-256 is not the one recorded"
