from __future__ import annotations

import re

import pytest
from s3 import put

from storage.store.location import read_bytes
from storage.store.store import Store


def test_files_are_read_in_the_order_in_which_they_are_named(store: Store) -> None:
    paths = [store.root / "many" / f"{number}" for number in range(300)]
    store.write_all({path: path.name.encode() for path in reversed(paths)})
    assert store.read_all(paths) == [path.name.encode() for path in paths]
    assert store.read_all([paths[7], paths[2], paths[7]]) == [b"7", b"2", b"7"]
    assert store.read_all([]) == []


def test_an_empty_file_is_no_absent_one(store: Store) -> None:
    path = store.root / "empty"
    store.write(path, b"")
    assert store.exists(path)
    assert read_bytes(path) == b""
    assert store.read_all([path]) == [b""]


def test_an_absent_file_is_named(store: Store) -> None:
    there, absent = store.root / "store.json", store.root / "absent"
    assert not store.exists(absent)
    for read in (lambda: read_bytes(absent), lambda: store.read_all([there, absent])):
        with pytest.raises(FileNotFoundError, match=re.escape(str(absent))):
            read()


def test_a_folder_is_there_while_it_holds_a_file(store: Store) -> None:
    path = store.root / "folder" / "file"
    store.write(path, b"content")
    assert store.exists(path.parent)
    store.remove([path.parent])
    assert not store.exists(path.parent)


def test_folders_that_hold_a_file_are_found(store: Store) -> None:
    for name in ("b/run", "a/run", "c/other", "d/deep/run", ".e/run", "run"):
        store.write(store.root / "folder" / name, b"")
    assert [path.name for path in store.holding(store.root / "folder", "run")] == ["a", "b"]
    assert store.holding(store.root / "absent", "run") == []


def test_removing_a_folder_leaves_those_whose_name_begins_like_its(store: Store) -> None:
    for name in ("one/file", "one2/file", "one.json"):
        store.write(store.root / "folder" / name, b"")
    store.remove([store.root / "folder" / "one"])
    assert [path.name for path in store.entries(store.root / "folder")] == ["one.json", "one2"]


def test_what_another_writes_is_seen_at_once(store: Store) -> None:
    other, folder = Store.open(store.root), store.root / "folder"
    assert store.entries(folder) == []
    other.write(folder / "one", b"first")
    assert [path.name for path in store.entries(folder)] == ["one"]
    assert read_bytes(folder / "one") == b"first"
    other.write(folder / "one", b"second one")
    other.write(folder / "two", b"")
    assert [path.name for path in store.entries(folder)] == ["one", "two"]
    assert read_bytes(folder / "one") == b"second one"
    other.remove([folder])
    assert store.entries(folder) == []


def test_an_object_that_marks_a_folder_is_no_entry(s3: str, bucket: str) -> None:
    store = Store.open(f"{bucket}/store", create=True)
    store.write(store.run_table("one", "run"), b"")
    put(s3, f"{store.run()}/", b"")
    assert store.entries(store.run()) == [store.run("one")]
    assert store.holding(store.run(), "run.parquet") == [store.run("one")]
