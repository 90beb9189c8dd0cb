from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from storage.datasets.globs import find
from storage.datasets.tree import Tree
from storage.store.location import location, read_bytes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/1.png").write_bytes(b"one")
    (tmp_path / "a/.hidden").write_bytes(b"")
    return tmp_path


def test_a_folder_is_listed_once_and_an_absent_one_is_empty(root: Path) -> None:
    tree = Tree(root)
    assert tree.listing() == (["a"], [])
    assert tree.listing("a/b") == ([], ["1.png"])
    assert tree.listing("a/c") == tree.listing("a/b/1.png") == ([], [])
    (root / "a/b/2.png").write_bytes(b"")
    assert tree.listing("a/b").files == ["1.png"]
    assert (tree.read("a/b/1.png"), tree.reason("a/b/1.png"), tree.reason("none/x")) == (b"one", None, None)


def test_links_in_circles_end(root: Path) -> None:
    """With two of them, folders could be gone through in 2 ** 40 ways."""
    (root / "a/up").symlink_to(root)
    (root / "a/b/again").symlink_to("../../a")
    (root / "other").symlink_to("a/b")
    tree = Tree(root)
    assert [name for name, _ in find(tree, "**/*.png")] == ["a/b/1.png", "other/1.png", "other/again/b/1.png"]
    assert tree.unusable_folders == dict.fromkeys(
        ("a/up", "a/b/again", "other/again/up", "other/again/b/again"),
        "a symbolic link to a folder that it lies in",
    )


def test_nothing_is_waited_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # a socket's path is short
    os.mkfifo(root / "a/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a/socket")
        tree = Tree(root)
        assert tree.listing("a").files == ["pipe", "socket"]
        assert tree.reason("a/pipe") == "a pipe, not a file"
        assert tree.reason("a/socket") == "a socket, not a file"
        for name in ("a/pipe", "a/socket", "/dev/zero"):
            with pytest.raises(OSError, match=r"no regular file|No such device"):
                read_bytes(location(root / name))


def test_a_part_of_a_file_is_read(root: Path) -> None:
    (root / "digits").write_bytes(b"0123456789")
    medium, path = location(root).medium, location(root / "digits").path
    assert [medium.read_part(path, start, 3) for start in (2, 8, 10, 12)] == [b"234", b"89", b"", b""]
