"""Where masks lie: in folders whose names say the kind, or beside their images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from storage.datasets.layouts.file import DEFECT, File, Split
from storage.datasets.tree import Tree


class Mask(NamedTuple):
    """A file of a mask: the kind and the stem of its image, and where it lies."""

    defect: str
    stem: str
    path: str


def below(tree: Tree, folder: str) -> Iterator[tuple[str, str]]:
    """Name of each folder in a folder, and path of each file in that, sorted."""
    for name in tree.listing(folder).folders:
        for file in tree.listing(f"{folder}/{name}").files:
            yield name, f"{folder}/{name}/{file}"


def stem_of(path: str) -> str:
    """The name of a mask without its suffix and the ending _mask."""
    return PurePosixPath(path).stem.removesuffix("_mask")


def deeper(tree: Tree, folder: str) -> Iterator[Mask]:
    """The masks in FOLDER/KIND/STEM, several an image."""
    tree.gather(folder)
    for kind in tree.listing(folder).folders:
        for stem, path in below(tree, f"{folder}/{kind}"):
            yield Mask(kind, stem, path)


def is_mask(file: str, ending: str) -> bool:
    """Whether a file is called as a mask, with this ending before its suffix."""
    return PurePosixPath(file).stem.endswith(ending)


def beside(tree: Tree, category: str, split: Split, folder: str, ending: str) -> Iterator[File]:
    """The images of a folder, each with its mask NAME + ending beside it, which says its label."""
    files = tree.listing(folder).files
    masks = {PurePosixPath(file).stem: file for file in files if is_mask(file, ending)}
    for file in files:
        stem = PurePosixPath(file).stem
        if stem not in masks:
            mask = masks.get(stem + ending)
            own = () if mask is None else (f"{folder}/{mask}",)
            yield File(category, split, f"{folder}/{file}", DEFECT, own, by_mask=True)
