"""Datasets of any layout, in a folder or a bucket: what they are called, and what their files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from storage.datasets.images import UnreadableImageError, decode_image, decode_mask
from storage.datasets.layouts.known import LAYOUTS, MVTEC, AnyLayout, recognise
from storage.datasets.manifest import ImageFile
from storage.datasets.nearby import ARCHIVES, advice
from storage.datasets.tree import Tree
from storage.errors import DatasetError, OneCategoryError, StoreError
from storage.store.location import Location, exists, location
from storage.store.medium import shown


@dataclass(frozen=True)
class Dataset:
    """Where images lie, what they are called together, and how they are told apart.

    `root` is a folder or a bucket's URL (`storage/store/location.py`).
    """

    root: str
    name: str
    layout: AnyLayout = MVTEC

    @classmethod
    def at(cls, root: str | PathLike[str], layout: AnyLayout = MVTEC) -> Dataset:
        """The dataset at `root`, named after its folder or bucket."""
        folder = _folder(root)
        return cls(str(folder), folder.name or str(folder).rstrip("/").rsplit("/", 1)[-1], layout)

    @classmethod
    def of_run(cls, record: Mapping[str, Any]) -> Dataset:
        """The dataset of a run, given the row of its run table."""
        settings = json.loads(record["layout"])
        layout = TypeAdapter(LAYOUTS[settings["kind"]]).validate_python(settings)
        return cls(record["root"], record["dataset"], layout)

    def recognised(self) -> Dataset:
        """The dataset with the layout that its files show beyond doubt, if none but MVTec AD's was named."""
        layout = recognise(self.tree()) if self.layout == MVTEC else None
        return self if layout is None else replace(self, layout=layout)

    def tree(self) -> Tree:
        """Its files, as they are now."""
        return Tree(self.folder)

    @property
    def layout_json(self) -> str:
        """The layout as `of_run` reads it."""
        return TypeAdapter(type(self.layout)).dump_json(self.layout).decode()

    @property
    def folder(self) -> Location:
        """The root as a path."""
        return _folder(self.root)


def _folder(root: str | PathLike[str]) -> Location:
    try:
        folder = location(root)
    except ValueError as error:
        raise DatasetError(f"the dataset at {root} cannot be read ({error})") from error
    if shown(str(folder)) != str(folder):
        raise DatasetError(f"the path {shown(str(folder))} is not UTF-8: rename its folders")
    return folder


def all_categories(dataset: Dataset, tree: Tree) -> list[str]:
    """Names of the categories of a dataset, whose files `tree` lists.

    Raises:
        DatasetError: no such root, or no category in it.
    """
    try:
        if not tree.root.medium.is_folder(tree.root.path):
            what = "it is a file" if exists(tree.root) else "no such folder"
            if tree.root.suffix.lower() in ARCHIVES and exists(tree.root):
                what += ": unpack it, and name the folder"
            raise DatasetError(f"no dataset at {tree.root}: {what}")
        tree.listing()
        if "" in tree.unusable_folders:
            raise DatasetError(f"the dataset at {tree.root} is {tree.unusable_folders['']}")
    except (OSError, StoreError) as error:
        raise DatasetError(f"the dataset at {dataset.root} cannot be read ({error})") from error
    try:
        return dataset.layout.categories(tree, dataset.name)
    except OneCategoryError:
        raise
    except DatasetError as error:
        raise DatasetError(f"{error}{advice(tree.root)}") from error
    except (OSError, StoreError) as error:
        raise DatasetError(f"the dataset at {dataset.root} cannot be read ({error})") from error


def find_categories(dataset: Dataset, wanted: Sequence[str] = (), tree: Tree | None = None) -> list[str]:
    """Names of the categories of a dataset: all, or those `wanted`.

    Raises:
        DatasetError: no such root, no category in it, or none of a name that is wanted.
    """
    return chosen_categories(dataset, all_categories(dataset, tree or dataset.tree()), wanted)


def chosen_categories(dataset: Dataset, names: list[str], wanted: Sequence[str]) -> list[str]:
    """Of the names of all categories of a dataset those `wanted`, or all.

    Raises:
        DatasetError: there is none of a name that is wanted.
    """
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names) or names
            raise DatasetError(
                f"no category {shown(name)!r} under {dataset.folder}: did you mean {', '.join(near)}?"
            )
    return sorted(set(wanted)) or names


def read_image(dataset: Dataset, image: ImageFile) -> NDArray[np.uint8]:
    """The image (H, W, 3) uint8 of a manifest's image.

    Raises:
        UnreadableImageError: the file is gone or is not what the manifest saw.
    """
    content = read_content(dataset, image.image_id)
    if hashlib.sha256(content).hexdigest() != image.key:
        raise UnreadableImageError(f"{image.image_id} changed during the run")
    return decode_image(content)[0]


def read_mask(dataset: Dataset, image: ImageFile) -> NDArray[np.bool_]:
    """The mask (H, W) of an image with a usable one, its files joined.

    Raises:
        UnreadableImageError: as for `read_masks`.
    """
    joined: NDArray[np.bool_] = np.any(read_masks(dataset, image), axis=0)
    return joined


def read_masks(dataset: Dataset, image: ImageFile) -> list[NDArray[np.bool_]]:
    """The masks (H, W) of an image with usable ones, file by file.

    Raises:
        UnreadableImageError: a file is gone or is not what the manifest saw.
    """
    if not image.masks or image.mask_sha256 is None:
        raise ValueError(f"{image.image_id} has no mask")
    contents = [read_content(dataset, mask) for mask in image.masks]
    if mask_digest(contents) != image.mask_sha256:
        raise UnreadableImageError(f"{', '.join(image.masks)} changed during the run")
    return [mask > (image.mask_threshold or 0) for mask in decode_masks(contents)]


def read_content(dataset: Dataset, name: str) -> bytes:
    """The bytes of an image or a mask of a dataset.

    Raises:
        UnreadableImageError: there is no such file, or it cannot be read.
    """
    try:
        return dataset.layout.content(dataset.folder, name)
    except OSError as error:
        raise UnreadableImageError(f"{name}: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise UnreadableImageError(f"{name}: {error}") from error


def mask_digest(contents: Sequence[bytes]) -> str:
    """SHA-256 of a mask's file, or of those of several."""
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def decode_masks(contents: Sequence[bytes]) -> list[NDArray[np.float32]]:
    """The values (H, W) of each mask of one image, on the scale of 0 to 255.

    Raises:
        UnreadableImageError: one is no image, or of another size.
    """
    masks = [decode_mask(content) for content in contents]
    if len({mask.shape for mask in masks}) > 1:
        raise UnreadableImageError("the masks of the image are not of one size")
    return masks
