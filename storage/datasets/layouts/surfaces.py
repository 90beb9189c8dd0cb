"""The layouts of KolektorSDD, KolektorSDD2 and DAGM: surfaces, whose masks lie beside their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from storage.datasets.images import SUFFIXES
from storage.datasets.layouts.division import Divided
from storage.datasets.layouts.file import GOOD, File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_DEFECT = "defect"


@dataclass(frozen=True)
class KolektorSdd(Divided):
    """KolektorSDD: an image is anomalous if its mask has a pixel; normal ones are divided by their content.

    kosNN/PartN.jpg
    kosNN/PartN_label.bmp

    Attributes:
        train_share: share of normal images to train with, met on average: a new image moves no other.
        train_number: if given, how many to train with: a new image moves at most one other.
        seed: of the division.
    """

    kind: Literal["kolektor_sdd"] = "kolektor_sdd"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are folders of parts with labels."""
        return any(
            folder.startswith("kos")
            and any(file.endswith("_label.bmp") for file in tree.listing(folder).files)
            for folder in tree.listing().folders
        )

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The dataset's name: there is one category."""
        if not any(folder.startswith("kos") for folder in tree.listing().folders):
            raise DatasetError(f"no folder kosNN under {tree.root}: expected kos01/Part0.jpg, ...")
        return [name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image, its side undecided."""
        for folder in tree.listing().folders:
            if folder.startswith("kos"):
                yield from _beside(tree, name, "undecided", folder, "_label")


@dataclass(frozen=True)
class KolektorSdd2(Layout):
    """KolektorSDD2: an image is anomalous if its mask has a pixel; defects in train are left out.

    train|test/NAME.png
    train|test/NAME_GT.png
    """

    kind: Literal["kolektor_sdd2"] = "kolektor_sdd2"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are masks called _GT beside training images."""
        return any(file.endswith("_GT.png") for file in tree.listing("train").files)

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The dataset's name: there is one category."""
        if not tree.listing("train").files:
            raise DatasetError(f"no image in {tree.root / 'train'}: expected train/NAME.png, NAME_GT.png")
        return [name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image, its label said by its mask."""
        yield from _beside(tree, name, "train", "train", "_GT")
        yield from _beside(tree, name, "test", "test", "_GT")


@dataclass(frozen=True)
class Dagm(Layout):
    """DAGM 2007: an image with a label is anomalous; defects among the training images are left out.

    ClassN/Train|Test/NAME.PNG
    ClassN/Train|Test/Label/NAME_label.PNG
    """

    kind: Literal["dagm"] = "dagm"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there is a class with training images and labels."""
        return any("Label" in tree.listing(f"{folder}/Train").folders for folder in tree.listing().folders)

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """Names of the folders that have training images."""
        found = [folder for folder in tree.listing().folders if tree.listing(f"{folder}/Train").files]
        if not found:
            raise DatasetError(f"no class under {tree.root}: expected Class1/Train/0001.PNG")
        return found

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image of these classes."""
        splits: tuple[tuple[str, Split], ...] = (("Train", "train"), ("Test", "test"))
        for category in categories:
            for folder, split in splits:
                here = f"{category}/{folder}"
                labels = {
                    PurePosixPath(label).stem.lower().removesuffix("_label"): f"{here}/Label/{label}"
                    for label in tree.listing(f"{here}/Label").files
                    if PurePosixPath(label).suffix.lower() in SUFFIXES
                }
                for file in tree.listing(here).files:
                    label = labels.get(PurePosixPath(file).stem.lower())
                    masks = () if label is None else (label,)
                    yield File(category, split, f"{here}/{file}", _DEFECT if masks else GOOD, masks)


def _beside(tree: Tree, category: str, split: Split, folder: str, ending: str) -> Iterator[File]:
    """The images of a folder, each with its mask NAME + ending beside it, which says its label."""
    files = tree.listing(folder).files
    masks = {PurePosixPath(file).stem: file for file in files if PurePosixPath(file).stem.endswith(ending)}
    for file in files:
        stem = PurePosixPath(file).stem
        if stem not in masks:
            mask = masks.get(stem + ending)
            own = () if mask is None else (f"{folder}/{mask}",)
            yield File(category, split, f"{folder}/{file}", _DEFECT, own, by_mask=True)
