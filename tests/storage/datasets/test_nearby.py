"""Folders as downloads leave them, and folders that are not the one that was meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from published import COPIES

from storage.datasets.dataset import Dataset, find_categories
from storage.datasets.layouts.known import LAYOUTS
from storage.datasets.manifest import Manifest
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError

BESIDE = {"split_csv", "realiad_jsons", "annotations"}  # folders without images


@pytest.fixture(params=COPIES)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of each layout, in a folder of its name."""
    root: Path = tmp_path / "downloads" / request.param
    root.mkdir(parents=True)
    COPIES[request.param](root)
    return root


def recognised(root: Path) -> Manifest:
    return read_manifest(Dataset.at(root).recognised())


def test_what_downloads_leave_beside_images_changes_nothing(copy: Path) -> None:
    before = recognised(copy)
    for name in ("download.zip", "LICENSE", "license.txt", "Readme.md"):
        (copy / name).write_bytes(b"junk")
    for folder in (copy, *[each for each in copy.rglob("*") if each.is_dir()]):
        for name in (".DS_Store", "._junk.png", "Thumbs.db"):
            (folder / name).write_bytes(b"junk")
    shutil.copytree(copy, copy.parent / "__MACOSX" / "again")
    shutil.move(copy.parent / "__MACOSX", copy / "__MACOSX")
    assert recognised(copy) == before


def test_a_link_to_a_folder_is_that_folder(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").mkdir()
    link = tmp_path / "linked" / copy.name
    link.symlink_to(copy)
    assert recognised(link) == recognised(copy)


def test_a_folder_around_it_is_told_from_it(copy: Path) -> None:
    kind = copy.name if copy.name != "mpdd" else "mvtec"
    said = rf"no category under .*downloads: .*; {copy.name} in it is laid out as {kind}: name that folder"
    with pytest.raises(DatasetError, match=said):
        recognised(copy.parent)


def test_a_folder_in_it_is_told_from_it(copy: Path) -> None:
    inner = next(each for each in sorted(copy.iterdir()) if each.is_dir() and each.name not in BESIDE)
    kind = copy.name if copy.name != "mpdd" else "mvtec"
    said = (
        rf"is one category: name its parent|; the folder .*{copy.name} is laid out as {kind}: name that one"
    )
    with pytest.raises(DatasetError, match=said):
        recognised(inner)


def test_one_of_several_in_a_folder_has_to_be_named(tmp_path: Path) -> None:
    for kind in ("visa", "btad"):
        (tmp_path / kind).mkdir()
        COPIES[kind](tmp_path / kind)
    said = r"btad in it is laid out as btad, visa in it is laid out as visa: name one of these folders"
    with pytest.raises(DatasetError, match=said):
        recognised(tmp_path)


def test_an_archive_has_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "VisA.tar.gz").write_bytes(b"archive")
    with pytest.raises(DatasetError, match=r"it is a file: unpack it, and name the folder"):
        find_categories(Dataset.at(tmp_path / "VisA.tar.gz"))
    with pytest.raises(DatasetError, match=r"no category under .*; unpack VisA\.tar\.gz first"):
        find_categories(Dataset.at(tmp_path))


@pytest.mark.parametrize(
    "kind", ["mvtec", "mvtec_ad_2", "visa_1cls", "kolektor_sdd", "kolektor_sdd2", "dagm"]
)
def test_suffixes_may_be_in_capitals_and_names_in_any_script(kind: str, tmp_path: Path) -> None:
    plain, odd = tmp_path / "plain" / "größe 2", tmp_path / "odd" / "größe 2"
    plain.mkdir(parents=True)
    COPIES[kind](plain)
    shutil.copytree(plain, odd)
    for path in [each for each in odd.rglob("*") if each.is_file()]:
        path.rename(path.with_name(f"é {path.stem}{path.suffix.swapcase()}"))
    before, after = (read_manifest(Dataset.at(root, LAYOUTS[kind]())) for root in (plain, odd))
    assert sorted(i.key for i in before.used()) == sorted(i.key for i in after.used())
    for part in ("train", "validation", "test", "unlabelled"):
        found = [[i.mask_key for i in getattr(manifest, part)()] for manifest in (before, after)]
        assert sorted(found[0]) == sorted(found[1])
    assert Dataset.at(odd).recognised() == Dataset.at(odd, Dataset.at(plain).recognised().layout)
