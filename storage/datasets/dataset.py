"""Datasets of any layout, in a folder or a bucket, and the manifest of one: what it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import TypeAdapter

from storage.datasets.arrays import read_slice, slice_of
from storage.datasets.images import HALF_SCALE, UnreadableImageError, decode_image, decode_mask
from storage.datasets.layouts.frames import Frames, has_frames
from storage.datasets.layouts.known import MVTEC, Layout
from storage.errors import DatasetError
from storage.results.schemas import MANIFEST
from storage.store.location import Location, location
from storage.store.store import Store, digest
from storage.store.tables import read_table, table_of

OK = "ok"
SET_ASIDE = "set aside"
_LAYOUT: TypeAdapter[Layout] = TypeAdapter(Layout)


@dataclass(frozen=True)
class Dataset:
    """Where images lie, what they are called together, and how they are told apart.

    `root` is a folder or a bucket's URL (`storage/store/location.py`).
    """

    root: str
    name: str
    layout: Layout = MVTEC

    @classmethod
    def at(cls, root: str | Location, layout: Layout = MVTEC) -> Dataset:
        """The dataset at `root`, named after its folder or bucket."""
        folder = _folder(root)
        return cls(str(folder), folder.name or str(folder).rstrip("/").rsplit("/", 1)[-1], layout)

    @classmethod
    def of_run(cls, record: Mapping[str, Any]) -> Dataset:
        """The dataset of a run, given the row of its run table."""
        return cls(record["root"], record["dataset"], _LAYOUT.validate_json(record["layout"]))

    def recognised(self) -> Dataset:
        """The dataset with the layout of ShanghaiTech Campus, if no other was named and its root has that."""
        if self.layout == MVTEC and has_frames(self.folder):
            return replace(self, layout=Frames())
        return self

    @property
    def layout_json(self) -> str:
        """The layout as `of_run` reads it."""
        return _LAYOUT.dump_json(self.layout).decode()

    @property
    def folder(self) -> Location:
        """The root as a path."""
        return _folder(self.root)


def _folder(root: str | Location) -> Location:
    try:
        return location(root)
    except (ValueError, ImportError) as error:
        raise DatasetError(f"the dataset at {root} cannot be read ({error})") from error


@dataclass(frozen=True)
class ImageFile:
    """One file of a dataset: an image, or a mask that no image claims (split "ground_truth").

    `image_id` and `mask` are paths below the root; `mask_sha256` is `mask_digest`. `mask_reason` says why an
    anomalous image has no usable mask; `reason` why the file is set aside; `warning` what is odd about a file
    that is used.
    """

    dataset: str
    category: str
    split: str
    image_id: str
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    anomalous: bool = False
    defect: str = "good"
    mask: str | None = None
    mask_sha256: str | None = None
    mask_reason: str | None = None
    status: str = OK
    reason: str | None = None
    warning: str | None = None

    @property
    def key(self) -> str:
        """The SHA-256 of the image."""
        if self.sha256 is None:
            raise ValueError(f"{self.image_id} was set aside: {self.reason}")
        return self.sha256

    def set_aside(self, reason: str) -> ImageFile:
        """The same file, not to be used."""
        return replace(self, status=SET_ASIDE, reason=reason)


@dataclass(frozen=True)
class Manifest:
    """The files of a dataset, sorted by category, split and image_id."""

    dataset: str
    files: tuple[ImageFile, ...]

    @classmethod
    def from_table(cls, table: pa.Table) -> Manifest:
        """A manifest from a table of MANIFEST."""
        entries = tuple(ImageFile(**row) for row in table.to_pylist())
        return cls(entries[0].dataset if entries else "", entries)

    def table(self) -> pa.Table:
        """The manifest as a table of MANIFEST."""
        return table_of((asdict(entry) for entry in self.files), MANIFEST)

    def categories(self) -> list[str]:
        """Names of the categories, sorted."""
        return sorted({entry.category for entry in self.files})

    def of(self, category: str) -> Manifest:
        """The files of one category."""
        return self.only([category])

    def only(self, categories: Sequence[str]) -> Manifest:
        """The files of these categories."""
        return Manifest(self.dataset, tuple(entry for entry in self.files if entry.category in categories))

    def train(self) -> list[ImageFile]:
        """Usable training images by SHA-256: the order of the index, whatever the files are called."""
        found = [entry for entry in self.files if entry.split == "train" and entry.status == OK]
        return sorted(found, key=lambda entry: (entry.key, entry.image_id))

    def test(self) -> list[ImageFile]:
        """Usable test images by image_id."""
        return [entry for entry in self.files if entry.split == "test" and entry.status == OK]

    def excluded(self) -> list[ImageFile]:
        """What is set aside."""
        return [entry for entry in self.files if entry.status != OK]

    def exclude(self, reasons: dict[str, str]) -> Manifest:
        """The manifest with the images of these ids set aside for these reasons."""
        return Manifest(
            self.dataset,
            tuple(
                entry.set_aside(reasons[entry.image_id]) if entry.image_id in reasons else entry
                for entry in self.files
            ),
        )

    def held_out(self, keys: Collection[str]) -> Manifest:
        """The training images alone, those of these keys as test images."""
        return Manifest(
            self.dataset,
            tuple(replace(each, split="test" if each.key in keys else "train") for each in self.train()),
        )

    def check(self) -> None:
        """Raise DatasetError if a category cannot be evaluated at all."""
        name = ", ".join(self.categories())
        if not self.train():
            raise DatasetError(
                f"no usable training image: put normal images into {name}/train/good, "
                "or where the dataset's layout looks for them"
            )
        if not self.test():
            raise DatasetError(
                f"no usable test image: put some into {name}/test/good and {name}/test/DEFECT, "
                "or where the dataset's layout looks for them"
            )

    def digest(self) -> str:
        """Digest of the contents and labels of what is used; names of files do not matter."""
        return digest(
            sorted(
                [entry.category, entry.split, entry.key, entry.defect, entry.mask_sha256 or ""]
                for entry in self.files
                if entry.status == OK
            )
        )


def last_manifest(store: Store, dataset: str) -> Manifest | None:
    """The manifest that the last run on a dataset of this name wrote, or None."""
    try:
        return Manifest.from_table(read_table(store.manifest(dataset)))
    except (OSError, pa.ArrowException, TypeError):
        return None


def find_categories(dataset: Dataset, wanted: Sequence[str] = ()) -> list[str]:
    """Names of the categories of a dataset: all, or those `wanted`.

    Raises:
        DatasetError: no such root, no category in it, or none of a name that is wanted.
    """
    try:
        root = dataset.folder
        if not root.is_dir():
            what = "it is a file" if root.exists() else "no such folder"
            raise DatasetError(f"no dataset at {root}: {what}")
        names = dataset.layout.categories(root, dataset.name)
    except DatasetError:
        raise
    except Exception as error:  # file systems of buckets raise what they like
        raise DatasetError(f"the dataset at {dataset.root} cannot be read ({error})") from error
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names) or names
            raise DatasetError(f"no category {name!r} under {root}: did you mean {', '.join(near)}?")
    return sorted(set(wanted)) or names


def read_image(dataset: Dataset, entry: ImageFile) -> NDArray[np.uint8]:
    """The image (H, W, 3) uint8 of a manifest's entry.

    Raises:
        UnreadableImageError: the file is gone or is not what the manifest saw.
    """
    content = read_content(dataset, entry.image_id)
    if hashlib.sha256(content).hexdigest() != entry.key:
        raise UnreadableImageError(f"{entry.image_id} changed during the run")
    return decode_image(content)[0]


def read_mask(dataset: Dataset, entry: ImageFile) -> NDArray[np.bool_]:
    """The mask (H, W) of an entry with a usable one.

    Raises:
        UnreadableImageError: the file is gone or is not what the manifest saw.
    """
    if entry.mask is None or entry.mask_sha256 is None:
        raise ValueError(f"{entry.image_id} has no mask")
    content, threshold = read_content(dataset, entry.mask), dataset.layout.mask_threshold
    if mask_digest(content, threshold) != entry.mask_sha256:
        raise UnreadableImageError(f"{entry.mask} changed during the run")
    return decode_mask(content, threshold)


def read_content(dataset: Dataset, name: str) -> bytes:
    """The bytes of a file below the root of a dataset, or of a slice of an array (`arrays.py`).

    Raises:
        UnreadableImageError: there is no such file, or it cannot be read.
    """
    part = slice_of(name)
    try:
        if part is not None:
            return read_slice(dataset.folder / part[0], part[1])
        return (dataset.folder / name).read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{name}: {error.strerror or error}") from error
    except ValueError as error:
        raise UnreadableImageError(f"{name}: {error}") from error


def mask_digest(content: bytes, threshold: int) -> str:
    """SHA-256 of a mask's file, and of the threshold unless that is half scale: another is another mask."""
    prefix = b"" if threshold == HALF_SCALE else b"%d " % threshold
    return hashlib.sha256(prefix + content).hexdigest()
