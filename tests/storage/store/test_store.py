from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from s3 import put
from tampering import files_below, names_below

from storage.errors import DamagedStoreError, StoreError
from storage.results.reader import Results
from storage.store.location import location, read_bytes
from storage.store.store import FORMAT_VERSION, Store, digest, safe_name

NAMES = st.text(min_size=1, max_size=60)
NAME_MAX = 255  # bytes in a name, on every common file system


def test_a_store_is_made_of_an_absent_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "deep" / "store", create=True)
    assert names_below(store.root) == ["store.json"]
    assert Store.open(store.root) == store


def test_a_store_is_made_of_an_empty_folder(tmp_path: Path) -> None:
    assert Store.open(tmp_path, create=True).root == location(tmp_path)


def test_opening_a_store_again_changes_nothing(store: Store) -> None:
    store.write(store.run_table("one", "run"), b"kept")
    before = {path: read_bytes(path) for path in files_below(store.root)}
    Store.open(store.root, create=True)
    assert {path: read_bytes(path) for path in files_below(store.root)} == before


def test_a_creation_that_was_interrupted_can_be_repeated(tmp_path: Path) -> None:
    (tmp_path / ".store.json.0a1b2c3d").write_bytes(b"")
    assert Store.open(tmp_path, create=True).root == location(tmp_path)


def test_a_relative_store_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open("store", create=True)
    monkeypatch.chdir("/")
    assert Store.open(store.root).root == location(tmp_path / "store")


def test_a_store_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Store.open("~/store", create=True).root == location(tmp_path / "store")


def test_a_store_is_made_below_a_url(bucket: str) -> None:
    store = Store.open(f"{bucket}/deep/store/", create=True)
    assert str(store.root) == f"{bucket}/deep/store"
    assert names_below(store.root) == ["store.json"]
    assert Store.open(f"{bucket}/deep/store") == Store.open(store.root) == store


def test_a_whole_bucket_is_a_store(bucket: str) -> None:
    store = Store.open(bucket, create=True)
    store.write(store.run_table("one", "run"), b"content")
    assert [path.name for path in store.entries(store.root)] == ["runs", "store.json"]
    assert Store.open(bucket).holding(store.run(), "run.parquet") == [store.run("one")]


def test_a_bucket_with_other_objects_is_refused_and_left_alone(s3: str, bucket: str) -> None:
    put(s3, f"{bucket}/thesis.tex", b"precious")
    with pytest.raises(StoreError, match=r"holds other files.*--store"):
        Store.open(bucket, create=True)
    with pytest.raises(StoreError, match=r"holds other files.*--store"):
        Store.foresee(bucket)
    assert names_below(location(bucket)) == ["thesis.tex"]


def test_a_store_to_be_in_a_bucket_is_foreseen_and_not_made(bucket: str) -> None:
    assert str(Store.foresee(f"{bucket}/store").root) == f"{bucket}/store"
    assert names_below(location(bucket)) == []
    with pytest.raises(StoreError, match=rf"no store at {bucket}/store: .*spade evaluate"):
        Store.open(f"{bucket}/store")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("warp://bucket/store", "none of s3://, gs://, az://"),
        ("s3://", "names no bucket"),
        ("s3:///store", "names no bucket"),
    ],
)
def test_a_url_where_no_store_can_be_is_refused(url: str, reason: str) -> None:
    with pytest.raises(StoreError, match=rf"{re.escape(url)}.* cannot be used \(.*{reason}"):
        Store.open(url, create=True)


ACCESSES: dict[str, Callable[[str], object]] = {
    "open": Store.open,
    "create": lambda url: Store.open(url, create=True),
    "foresee": Store.foresee,
    "write": lambda url: Store.at(url).check_writable(),
    "remove": lambda url: Store.at(url).remove([Store.at(url).root]),
    "list": lambda url: Store.at(url).indices(),
    "read": lambda url: Store.at(url).read_all([Store.at(url).run_table("one", "run")]),
    "results": Results,
}
REMEDY = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL"


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.usefixtures("s3")
def test_an_absent_bucket_is_named_with_the_remedy(access: str) -> None:
    with pytest.raises(
        StoreError, match=rf"s3://absent/store.* \(.*bucket does not exist\): create the bucket, .*{REMEDY}"
    ):
        ACCESSES[access]("s3://absent/store")


@pytest.mark.parametrize("access", ACCESSES)
@pytest.mark.usefixtures("refusing")
def test_wrong_credentials_are_named_with_the_remedy(bucket: str, access: str) -> None:
    with pytest.raises(StoreError, match=rf"{bucket}/store.* \(.*(403 Forbidden|Access Key.*)\): .*{REMEDY}"):
        ACCESSES[access](f"{bucket}/store")


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, r"127\.0\.0\.1:1/.*: Connection refused"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no credentials in the environment"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "Missing SecretAccessKey"),
    ],
    ids=["no server", "no URL", "no key", "half a key"],
)
@pytest.mark.usefixtures("s3")
def test_a_wrong_environment_is_named_with_the_remedy(
    environment: dict[str, str | None], reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=rf"s3://bucket.* \(.*{reason}.*\): .*{REMEDY}"):
        Store.open("s3://bucket/store", create=True)


def test_reading_creates_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*absent.*spade evaluate"):
        Store.open(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match=r"holds other files.*--store"):
        Store.open(tmp_path, create=True)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_store_to_be_is_foreseen_and_not_made(store: Store, tmp_path: Path) -> None:
    assert Store.foresee(store.root) == store
    (tmp_path / "empty").mkdir()
    before = names_below(location(tmp_path))
    for absent in ("empty", "deep/store"):
        assert Store.foresee(tmp_path / absent).root == location(tmp_path / absent)
    assert names_below(location(tmp_path)) == before
    assert not (tmp_path / "deep").exists()


def test_a_folder_that_cannot_become_a_store_is_foreseen(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"holds other files.*--store"):
        Store.foresee(tmp_path)
    for below in ("file", "file/deep/store"):
        with pytest.raises(StoreError, match=r"file is not a folder that can be written.*--store"):
            Store.foresee(tmp_path / below)
    store.write(store.root / "store.json", b"{")
    with pytest.raises(StoreError, match=r"store\.json is not a store's marker"):
        Store.foresee(store.root)


def test_a_newer_format_is_refused_with_the_remedy(store: Store) -> None:
    store.write(store.root / "store.json", json.dumps({"format_version": FORMAT_VERSION - 1}).encode())
    with pytest.raises(StoreError, match=f"format {FORMAT_VERSION - 1} .*name a new --store and evaluate"):
        Store.open(store.root)
    store.write(store.root / "store.json", json.dumps({"format_version": FORMAT_VERSION + 1}).encode())
    with pytest.raises(StoreError, match=f"format {FORMAT_VERSION + 1} .*reads {FORMAT_VERSION}: upgrade"):
        Store.open(store.root)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"{}", b'{"format_version": "1"}', b'{"format_version": null}'],
)
def test_a_damaged_marker_is_named(store: Store, content: bytes) -> None:
    store.write(store.root / "store.json", content)
    for create in (False, True):
        with pytest.raises(StoreError, match=r"store\.json is not a store's marker"):
            Store.open(store.root, create=create)


@pytest.mark.parametrize("below", ["", "store", "deep/store"])
@pytest.mark.parametrize("create", [True, False])
def test_a_store_at_or_under_a_file_is_refused(tmp_path: Path, below: str, create: bool) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"file.*--store"):
        Store.open(tmp_path / "file" / below, create=create)


def test_a_writable_store_is_checked_without_a_trace(store: Store) -> None:
    store.check_writable()
    assert names_below(store.root) == ["store.json"]


def test_a_store_that_cannot_be_written_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"file cannot be written .*--store"):
        Store.at(tmp_path / "file").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_store_without_permission_to_write_is_named(store: Store) -> None:
    Path(store.root).chmod(0o555)
    try:
        with pytest.raises(StoreError, match=r"cannot be written .*--store"):
            store.check_writable()
    finally:
        Path(store.root).chmod(0o755)


def test_a_written_file_leaves_no_temporary_one(store: Store) -> None:
    path = store.root / "new" / "folder" / "file"
    store.write(path, b"first")
    store.write(path, b"second")
    assert read_bytes(path) == b"second"
    assert names_below(path.parent) == ["file"]


def test_a_write_that_fails_leaves_no_temporary_file(tmp_path: Path) -> None:
    store = Store.open(tmp_path, create=True)
    taken = tmp_path / "runs" / "taken"
    taken.mkdir(parents=True)
    with pytest.raises(OSError, match="taken"):
        store.write(location(taken), b"content")
    assert os.listdir(taken.parent) == ["taken"]


def test_entries_are_sorted_and_visible_ones_alone(store: Store) -> None:
    for name in ("b.parquet", "a.parquet", "c.json", ".d.parquet.12345678"):
        store.write(store.root / name, b"")
    assert [path.name for path in store.entries(store.root, ".parquet")] == ["a.parquet", "b.parquet"]
    assert store.entries(store.root / "absent") == []


def test_removing_takes_files_folders_and_absent_paths(store: Store) -> None:
    store.write(store.run_table("one", "run"), b"")
    store.write(store.run_table("two", "run"), b"")
    store.remove([store.run_table("one", "run"), store.run("two"), store.run("three")])
    assert names_below(store.root / "runs") == []
    assert not store.exists(store.run("two"))


def test_every_index_of_every_feature_key_is_listed(store: Store) -> None:
    for key, gallery in (("key2", "b"), ("key1", "a")):
        for suffix in ("faiss", "json"):
            store.write(store.index(key, gallery, suffix), b"")
    assert store.indices() == [store.index("key1", "a", "faiss"), store.index("key2", "b", "faiss")]


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})


def test_a_digest_depends_on_order_in_lists_and_on_types() -> None:
    assert len({digest(value) for value in ([1, 2], [2, 1], ["1", 2], [12], [], None, "é", "e")}) == 8


def test_a_digest_is_the_same_in_every_version() -> None:
    """It names folders in stores that exist."""
    assert digest({"backbone": "wide_resnet50_2"}) == "2fd3552f62731e1a"


def test_not_a_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest({"sigma": float("nan")})


@given(NAMES, NAMES)
@example("a/b", "a%2Fb")
@example(".", "%2E")
@example("é", "é")
def test_different_names_are_different_folders(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(NAMES)
@example("..")
@example("../../etc/passwd")
@example("a\\b\0c\n")
def test_a_name_is_one_visible_path_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert not set(safe) & set("/\\\0\n")
    assert Path("folder", safe).parts == ("folder", safe)


@pytest.mark.parametrize("name", ["bottle", "metal nut", "007", "瓶", "Übermaß_1.5-b"])
def test_ordinary_names_stay_readable(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["b" * NAME_MAX, "瓶" * (NAME_MAX // 3), "!" * NAME_MAX],
    ids=["letters", "wide letters", "quoted"],
)
def test_the_manifest_of_a_folder_of_any_name_can_be_written(store: Store, name: str) -> None:
    store.write(store.manifest(name), b"content")
    assert read_bytes(store.manifest(name)) == b"content"


def test_long_names_that_differ_at_the_end_are_different_folders() -> None:
    assert safe_name("b" * 250 + "1") != safe_name("b" * 250 + "2")


def test_a_name_that_is_not_unicode_is_quoted() -> None:
    name = os.fsdecode(b"caf\xe9")  # as Latin-1 archives leave it on disk
    assert safe_name(name) == "caf%E9"


def test_damage_is_told_with_its_path_and_the_command_that_repairs_it(tmp_path: Path) -> None:
    message = str(DamagedStoreError(tmp_path / "file", "checksum", tmp_path))
    assert f"{tmp_path / 'file'} is damaged (checksum)" in message
    assert f"spade repair --store '{tmp_path}'" in message
