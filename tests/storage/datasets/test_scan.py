"""Datasets in a bucket; `test_datasets.py` and `test_layouts_*.py` say what a manifest holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tiny import write_category

from storage.datasets.dataset import Dataset, find_categories, read_image, read_mask
from storage.datasets.images import UnreadableImageError
from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.known import MVTEC
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError

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
def bucket(folder: Path) -> Iterator[str]:
    """The URL of a copy of that folder."""
    memory = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            memory.pipe_file(f"/bucket/data/{path.relative_to(folder).as_posix()}", path.read_bytes())
    yield "memory://bucket/data"
    memory.store.clear()


@pytest.mark.parametrize("layout", [MVTEC, PATTERNS])
def test_a_bucket_has_the_manifest_of_the_folder(folder: Path, bucket: str, layout: Layout) -> None:
    here, there = Dataset.at(folder, layout), Dataset.at(bucket, layout)
    manifest = read_manifest(there)
    assert manifest == read_manifest(here)
    assert manifest.categories() == ["größe 2", "nut"]
    assert len(manifest.excluded()) == 1
    for entry in manifest.test():
        np.testing.assert_array_equal(read_image(there, entry), read_image(here, entry))
        if entry.masks:
            np.testing.assert_array_equal(read_mask(there, entry), read_mask(here, entry))


def test_what_is_gone_from_a_bucket_is_named(bucket: str) -> None:
    dataset = Dataset.at(bucket)
    entry = read_manifest(dataset, ["nut"]).train()[0]
    fsspec.filesystem("memory").rm(f"/bucket/data/{entry.image_id}")
    with pytest.raises(UnreadableImageError, match=entry.image_id):
        read_image(dataset, entry)
    with pytest.raises(DatasetError, match="no dataset at memory://bucket/other: no such folder"):
        find_categories(Dataset.at("memory://bucket/other"))
    with pytest.raises(DatasetError, match=r"the dataset at odd://bucket cannot be read \(.*odd"):
        find_categories(replace(dataset, root="odd://bucket"))
    with pytest.raises(DatasetError, match=r"the dataset at odd://bucket cannot be read \(.*odd"):
        Dataset.at("odd://bucket")


@pytest.mark.parametrize(
    ("root", "name"),
    [("s3://bucket/a/b/", "b"), ("s3://bucket", "bucket"), ("memory://x", "x"), ("/a/b", "b")],
)
def test_a_dataset_is_named_after_the_end_of_its_root(root: str, name: str) -> None:
    assert Dataset.at(root).name == name
