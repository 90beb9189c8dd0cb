from __future__ import annotations

import faiss
import numpy as np
import pytest
from tampering import delete, flip, overwrite

from storage.computed.indices import gallery_digest, has_index, read_index, write_index
from storage.errors import DamagedStoreError
from storage.store.location import read_bytes
from storage.store.sealed import damage
from storage.store.store import Store

ROWS = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)


@pytest.fixture
def store(store: Store) -> Store:
    """A store with one index."""
    index = faiss.IndexFlatL2(5)
    index.add(ROWS)
    write_index(store, "key", "gallery", index)
    return store


def test_an_index_finds_what_it_found_before_it_was_written(store: Store) -> None:
    index = read_index(store, "key", "gallery")
    assert index.ntotal == 6
    distances, positions = index.search(ROWS[2:4], 1)
    assert positions.ravel().tolist() == [2, 3]
    np.testing.assert_array_equal(distances, 0)
    assert damage(store.index("key", "gallery", "faiss")) is None


def test_an_index_is_there_for_its_own_rows_and_features(store: Store) -> None:
    assert has_index(store, "key", "gallery")
    assert not has_index(store, "key", "other")
    assert not has_index(store, "other", "gallery")


def test_an_index_without_its_checksum_is_not_there(store: Store) -> None:
    path = store.index("key", "gallery", "json")
    delete(path)
    assert not has_index(store, "key", "gallery")
    with pytest.raises(DamagedStoreError, match=r"gallery\.faiss is damaged .*spade repair"):
        read_index(store, "key", "gallery")


def test_an_index_that_is_gone_is_named(store: Store) -> None:
    delete(store.index("key", "gallery", "faiss"))
    with pytest.raises(DamagedStoreError, match=r"gallery\.faiss is damaged .*spade repair"):
        read_index(store, "key", "gallery")


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_flipped_bit_is_noticed(store: Store, position: int) -> None:
    path = store.index("key", "gallery", "faiss")
    flip(path, position)
    with pytest.raises(DamagedStoreError, match=rf"{path} is damaged .*SHA-256.*--store '{store.root}'"):
        read_index(store, "key", "gallery")


@pytest.mark.parametrize("kept", [0, 30])
def test_a_truncated_index_is_noticed(store: Store, kept: int) -> None:
    path = store.index("key", "gallery", "faiss")
    overwrite(path, read_bytes(path)[:kept])
    with pytest.raises(DamagedStoreError, match=f"{path} is damaged"):
        read_index(store, "key", "gallery")


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b"\xff\xfe"])
def test_a_damaged_checksum_is_noticed(store: Store, content: bytes) -> None:
    overwrite(store.index("key", "gallery", "json"), content)
    with pytest.raises(DamagedStoreError, match=r"gallery\.faiss is damaged"):
        read_index(store, "key", "gallery")


def test_an_index_written_again_replaces_a_damaged_one(store: Store) -> None:
    overwrite(store.index("key", "gallery", "faiss"), b"")
    index = faiss.IndexFlatL2(5)
    index.add(ROWS[:2])
    write_index(store, "key", "gallery", index)
    assert read_index(store, "key", "gallery").ntotal == 2


def test_a_gallery_is_its_rows_in_their_order() -> None:
    galleries: list[list[str]] = [["a", "b"], ["b", "a"], ["a"], ["a", "b", "b"], ["ab"], []]
    assert len({gallery_digest(keys) for keys in galleries}) == len(galleries)
    assert gallery_digest(["a", "b"]) == gallery_digest(("a", "b"))
