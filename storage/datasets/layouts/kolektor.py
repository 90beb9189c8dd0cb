"""The layouts of KolektorSDD and KolektorSDD2: masks lie beside their images, and say the labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.datasets.layouts.division import Divided
from storage.datasets.layouts.file import File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.masks import beside, is_mask
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_FOLDS = 3


@dataclass(frozen=True)
class KolektorSdd(Divided):
    """KolektorSDD: an image is anomalous if its mask has a pixel; normal ones are divided by their content.

    kosNN/PartN.jpg
    kosNN/PartN_label.bmp

    With a fold its folders are tested, and the normal images of the others are trained with.

    Attributes:
        fold: 1, 2 or 3: every third folder, from the first, second or third on; None for none. (The division
            of the publication is in no file of the images.)
        test_folders: in place of a fold, the folders to test: those of a published one.
        train_share: share of normal images to train with, met on average: a new image moves no other.
        train_number: if given, how many to train with: a new image moves at most one other.
        seed: of the division.
    """

    fold: Literal[1, 2, 3] | None = None
    test_folders: tuple[str, ...] = ()
    kind: Literal["kolektor_sdd"] = "kolektor_sdd"

    def __post_init__(self) -> None:
        """Check each setting; DatasetError names the first that is wrong."""
        super().__post_init__()
        if self.fold is not None and self.test_folders:
            raise DatasetError(f"fold is {self.fold}, and test_folders are named: drop one")

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are folders of parts with labels."""
        return any(is_mask(file, "_label") for each in _folders(tree) for file in tree.listing(each).files)

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The dataset's name: there is one category."""
        folders = _folders(tree)
        if not folders:
            raise DatasetError(f"no folder kosNN under {tree.root}: expected kos01/Part0.jpg, ...")
        for folder in self.test_folders:
            if folder not in folders:
                raise DatasetError(f"test_folders has {folder!r}: it is one of {', '.join(folders)}")
        return [name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image, its side undecided where there is no fold."""
        for place, folder in enumerate(_folders(tree)):
            side: Split = "undecided"
            if self.fold or self.test_folders:
                tested = folder in self.test_folders or place % _FOLDS + 1 == self.fold
                side = "test" if tested else "train"
            yield from beside(tree, name, side, folder, "_label")


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
        return any(is_mask(file, "_GT") for file in tree.listing("train").files)

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The dataset's name: there is one category."""
        if not tree.listing("train").files:
            raise DatasetError(f"no image in {tree.root / 'train'}: expected train/NAME.png, NAME_GT.png")
        return [name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image, its label said by its mask."""
        yield from beside(tree, name, "train", "train", "_GT")
        yield from beside(tree, name, "test", "test", "_GT")


def _folders(tree: Tree) -> list[str]:
    return [folder for folder in tree.listing().folders if folder.startswith("kos")]
