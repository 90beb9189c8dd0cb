from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.store.location import exists, location, read_bytes
from storage.store.store import Store


def test_a_folder_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert location("store") == location(Path("store")) == location("other/../store/")
    assert str(location("store")) == os.fspath(location("store")) == str(tmp_path / "store")
    assert Path(location("store")) == tmp_path / "store"
    assert str(location("~/store")) == "/home/somebody/store"


def test_a_url_is_no_path_of_this_machine() -> None:
    found = location("s3://bucket/folder/")
    assert str(found) == found.as_uri() == "s3://bucket/folder"
    assert location(found) is found
    assert found == location("s3://bucket/folder")
    assert found != location("gs://bucket/folder")
    assert len({found, location("s3://bucket/folder"), location("s3://other/folder")}) == 2
    assert str(location("s3://bucket/")) == "s3://bucket"


@pytest.mark.parametrize("root", ["/folder", "s3://bucket", "gs://bucket", "az://container"])
def test_a_path_is_taken_apart_and_put_together(root: str) -> None:
    path = location(root) / "runs" / "one.d" / "run.parquet"
    assert str(path) == f"{root}/runs/one.d/run.parquet"
    assert (path.name, path.stem, path.suffix) == ("run.parquet", "run", ".parquet")
    assert path.parent.parent == location(root) / "runs" == location(root) / "runs" / ""
    assert str(path.with_suffix(".json")) == f"{root}/runs/one.d/run.json"
    assert sorted([location(root) / "b", location(root) / "a-1" / "c", location(root) / "a"]) == [
        location(f"{root}/{name}") for name in ("a", "a-1/c", "b")
    ]


def test_a_file_is_opened_by_its_url(tmp_path: Path) -> None:
    assert location(tmp_path / "größe 1.html").as_uri() == (tmp_path / "größe 1.html").as_uri()


def test_paths_of_a_bucket_share_its_connections(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = location("s3://bucket/folder")
    assert (found / "a").parent.medium is location("s3://bucket/other").medium is found.medium
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{s3}/")
    assert location("s3://bucket/folder").medium is not found.medium


@pytest.mark.parametrize("url", ["warp://bucket/folder", "s4://bucket", "file:///folder"])
def test_a_url_of_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is none of s3://, gs://, az://"):
        location(url)


NAMES = [
    "a b",
    "a#1",
    "a?",
    "*",
    "[x]",
    "~",
    "50%",
    "%20",
    "größe 瓶",
    "{a}",
    "back\\slash",
    "<x>&'\"",
    "a..b",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_any_characters_is_kept(store: Store, name: str) -> None:
    path = store.root / name / name
    store.write(path, name.encode())
    assert read_bytes(path) == name.encode()
    assert store.entries(store.root / name) == [path]
    assert path.parent in store.entries(store.root)
    assert store.holding(store.root, name) == [path.parent]
    store.remove([path.parent])
    assert not exists(path)
    assert not exists(path.parent)


def test_a_path_may_lead_up_and_down(store: Store) -> None:
    store.write_all({store.root / folder / "1.png": folder.encode() for folder in ("images", "masks")})
    assert read_bytes(store.root / "images" / "../masks/1.png") == b"masks"
    assert store.exists(store.root / "images" / ".." / "masks")
