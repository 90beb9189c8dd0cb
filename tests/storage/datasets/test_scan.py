"""Datasets in a bucket; `test_datasets.py` and `test_layouts_*.py` say what a manifest holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from published import COPIES
from s3 import asked
from tampering import copy, delete
from tiny import write_category

from storage.datasets.dataset import Dataset, find_categories, read_image, read_mask
from storage.datasets.images import UnreadableImageError
from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.known import LAYOUTS, MVTEC
from storage.datasets.manifest import ImageFile, Manifest
from storage.datasets.scan import read_manifest
from storage.datasets.tree import Tree
from storage.errors import DatasetError, UnreachableStoreError
from storage.store.location import location

PATTERNS = Folders(
    normal=("{category}/t*/good/*.png",),
    anomalous=("{category}/test/{defect}/*",),
    mask="{category}/ground_truth/{defect}/{stem}_mask.png",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_category(tmp_path / "data", "nut")
    write_category(tmp_path / "data", "größe 2", seed=2)
    (tmp_path / "data" / "nut" / "train" / "good" / "broken.png").write_bytes(b"")
    (tmp_path / "data" / "nut" / "train" / "good" / ".hidden.png").write_bytes(b"")
    return tmp_path / "data"


@pytest.fixture
def remote(folder: Path, bucket: str) -> str:
    """The URL of a copy of that folder."""
    copy(folder, location(f"{bucket}/data"))
    return f"{bucket}/data"


@pytest.mark.parametrize("layout", [MVTEC, PATTERNS])
def test_a_bucket_has_the_manifest_of_the_folder(folder: Path, remote: str, layout: Layout) -> None:
    here, there = Dataset.at(folder, layout), Dataset.at(remote, layout)
    manifest = read_manifest(there)
    assert manifest == read_manifest(here)
    assert manifest.categories() == ["größe 2", "nut"]
    assert len(manifest.excluded()) == 1
    for entry in manifest.test():
        np.testing.assert_array_equal(read_image(there, entry), read_image(here, entry))
        if entry.masks:
            np.testing.assert_array_equal(read_mask(there, entry), read_mask(here, entry))


def test_what_is_gone_from_a_bucket_is_named(bucket: str, remote: str) -> None:
    dataset = Dataset.at(remote)
    entry = read_manifest(dataset, ["nut"]).train()[0]
    delete(dataset.folder / entry.image_id)
    with pytest.raises(UnreadableImageError, match=entry.image_id):
        read_image(dataset, entry)
    with pytest.raises(DatasetError, match=f"no dataset at {bucket}/other: no such folder"):
        find_categories(Dataset.at(f"{bucket}/other"))
    with pytest.raises(DatasetError, match=r"no dataset at .*: it is a file"):
        find_categories(Dataset.at(f"{remote}/{read_manifest(dataset).test()[0].image_id}"))
    with pytest.raises(DatasetError, match=r"the dataset at odd://bucket cannot be read \(.*odd"):
        find_categories(replace(dataset, root="odd://bucket"))
    with pytest.raises(DatasetError, match=r"the dataset at odd://bucket cannot be read \(.*odd"):
        Dataset.at("odd://bucket")


def test_a_bucket_that_refuses_is_no_damage_of_its_images(remote: str, refuse: Callable[[], None]) -> None:
    dataset = Dataset.at(remote)
    entry = read_manifest(dataset, ["nut"]).train()[0]
    refuse()
    with pytest.raises(UnreachableStoreError, match=r"cannot be used \(.*AWS_ACCESS_KEY_ID"):
        read_image(dataset, entry)
    with pytest.raises(DatasetError, match=rf"the dataset at {remote} cannot be read \(.*AWS_ACCESS_KEY_ID"):
        read_manifest(dataset)


@pytest.mark.parametrize(
    ("root", "name"),
    [("s3://bucket/a/b/", "b"), ("s3://bucket", "bucket"), ("gs://x", "x"), ("/a/b", "b")],
)
def test_a_dataset_is_named_after_the_end_of_its_root(root: str, name: str) -> None:
    assert Dataset.at(root).name == name


@pytest.mark.parametrize("kind", ["mvtec", "visa", "real_iad"])
def test_the_second_night_in_a_bucket_lists_each_prefix_once_and_reads_no_image(
    kind: str, tmp_path: Path, bucket: str, s3: str
) -> None:
    COPIES[kind](tmp_path)
    copy(tmp_path, location(f"{bucket}/data"))
    dataset = Dataset.at(f"{bucket}/data", LAYOUTS[kind]())
    known = Manifest.from_table(read_manifest(dataset).table())
    asked(s3)
    assert read_manifest(dataset, known=known) == known
    requests = asked(s3)
    read = [path for _, path, query in requests if "list-type" not in query]
    assert {PurePosixPath(path).suffix for path in read} <= {".csv", ".json"}  # what divides
    listed = [query for _, _, query in requests if "list-type" in query]
    assert len(set(listed)) == len(listed)
    folders = sum(path.is_dir() for path in tmp_path.rglob("*"))
    assert len(listed) <= (4 if kind == "real_iad" else folders + 2)  # whatever the number of samples
    assert read_manifest(dataset, known=known, verify=True) == known
    everything = [path for _, path, query in asked(s3) if "list-type" not in query]
    images = {image.image_id for image in known.files} | {
        mask for image in known.files for mask in image.masks
    }
    assert {f"/{bucket.removeprefix('s3://')}/data/{name}" for name in images} <= set(everything)


def test_a_folder_and_all_below_it_is_listed_as_each_of_them(tmp_path: Path, bucket: str) -> None:
    COPIES["real_iad"](tmp_path)
    copy(tmp_path, location(f"{bucket}/data"))
    gathered, listed = Tree(f"{bucket}/data"), Tree(f"{bucket}/data")
    gathered.gather("realiad_256")
    folders = ["realiad_256"]
    while folders:
        folder = folders.pop()
        found = listed.listing(folder)
        assert gathered.listing(folder) == found
        for name in found.files:
            assert gathered.stamp(f"{folder}/{name}") == listed.stamp(f"{folder}/{name}")
        folders += [f"{folder}/{name}" for name in found.folders]


def test_what_was_read_is_handed_on_in_pieces(folder: Path) -> None:
    pieces: list[ImageFile] = []
    told: list[tuple[int, int]] = []
    manifest = read_manifest(
        Dataset.at(folder), read=pieces.extend, progress=lambda done, total: told.append((done, total))
    )
    assert {(image.image_id, image.sha256) for image in pieces} == {
        (image.image_id, image.sha256) for image in manifest.files
    }
    assert told == [(done + 1, len(pieces)) for done in range(len(pieces))]
