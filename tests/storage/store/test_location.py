from __future__ import annotations

from pathlib import Path

import pytest
from upath import UPath

from storage.store.location import location


def test_a_folder_is_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert location("store") == location(Path("store")) == location("other/../store/") == tmp_path / "store"
    assert location("~/store") == Path("/home/somebody/store")


def test_a_url_is_no_path_of_this_machine() -> None:
    found = location("s3://bucket/folder/")
    assert isinstance(found, UPath)
    assert str(found) == "s3://bucket/folder"
    assert location(found) is found
    assert found == location("s3://bucket/folder")


def test_paths_below_a_url_share_its_connections() -> None:
    found = location("s3://bucket/folder")
    assert isinstance(found, UPath)
    assert (found / "a" / "b").parent.with_name("c").fs is found.fs


@pytest.mark.parametrize("url", ["warp://bucket/folder", "s4://bucket"])
def test_a_url_of_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Unsupported filesystem"):
        location(url)
