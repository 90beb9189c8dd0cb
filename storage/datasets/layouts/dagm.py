"""The layout of DAGM 2007."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from storage.datasets.images import SUFFIXES
from storage.datasets.layouts.file import DEFECT, GOOD, File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError


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
                    yield File(category, split, f"{here}/{file}", DEFECT if masks else GOOD, masks)
