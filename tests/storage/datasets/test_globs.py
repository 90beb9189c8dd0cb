from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import pytest

from storage.datasets.globs import check_pattern, find
from storage.datasets.tree import Listing, Tree
from storage.errors import DatasetError

FILES = (
    "a.png",
    "good/a.png",
    "good/a.jpg",
    "good/deep/b.png",
    "good/deep/er/c.png",
    "x[1]/a.png",
    "nut/crack/1_crack.png",
    "nut/crack/2_dent.png",
    "bolt/dent/3_dent.png",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in (*FILES, ".hidden/a.png", "good/.a.png", "good/Thumbs.db"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def found(root: Path, pattern: str) -> list[str]:
    return [name for name, _ in find(Tree(root), pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("good/a.png", ["good/a.png"]),
        ("good/*", ["good/a.jpg", "good/a.png"]),
        ("good/?.jpg", ["good/a.jpg"]),
        ("good/**/*.png", ["good/a.png", "good/deep/b.png", "good/deep/er/c.png"]),
        ("**/c.png", ["good/deep/er/c.png"]),
        ("**/deep/**/*", ["good/deep/b.png", "good/deep/er/c.png"]),
        ("x[1]/*", ["x[1]/a.png"]),
        ("absent/*.png", []),
        ("a.png/*", []),
    ],
)
def test_a_pattern_finds_its_files(root: Path, pattern: str, expected: list[str]) -> None:
    assert found(root, pattern) == expected


def test_named_parts_are_returned_and_equal_where_they_are_repeated(root: Path) -> None:
    assert list(find(Tree(root), "{category}/{defect}/*_{defect}.png")) == [
        ("bolt/dent/3_dent.png", {"category": "bolt", "defect": "dent"}),
        ("nut/crack/1_crack.png", {"category": "nut", "defect": "crack"}),
    ]


def test_only_folders_that_can_hold_a_match_are_listed(root: Path) -> None:
    class Counting(Tree):
        listed: ClassVar[list[str]] = []

        def listing(self, folder: str = "") -> Listing:
            self.listed.append(folder)
            return super().listing(folder)

    list(find(Counting(root), "good/d*/*.png"))
    assert Counting.listed == ["good", "good/deep"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/good/*.png", "write a path below the root"),
        ("", "write a path below the root"),
        ("../good/*.png", "write a path below the root"),
        ("good/**", "** stands between slashes"),
        ("good/a**/*.png", "** stands between slashes"),
        ("{kind}/*.png", "has a part {kind}: named parts are defect"),
    ],
)
def test_a_wrong_pattern_is_named(pattern: str, message: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(message)) as caught:
        check_pattern(pattern, ("defect",))
    assert repr(pattern) in str(caught.value)
