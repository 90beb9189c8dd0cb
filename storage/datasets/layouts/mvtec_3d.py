"""The layout of MVTec 3D-AD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from storage.datasets.layouts.by_category import WITH_VALIDATION, ByCategory
from storage.datasets.layouts.file import File, Split
from storage.datasets.layouts.masks import Mask, stem_of
from storage.datasets.tree import Tree


@dataclass(frozen=True)
class Mvtec3d(ByCategory):
    """MVTec 3D-AD, its colour images: the point clouds are left alone.

    CATEGORY/train|validation/good/rgb/NAME.png
    CATEGORY/test/good|DEFECT/rgb/NAME.png
    CATEGORY/test/good|DEFECT/gt/NAME.png
    """

    kind: Literal["mvtec_3d"] = "mvtec_3d"
    splits: ClassVar[Mapping[str, Split]] = WITH_VALIDATION

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether the training images lie in a folder rgb."""
        return "rgb" in tree.listing(f"{folder}/train/good").folders

    def images(self, tree: Tree, category: str) -> Iterator[File]:
        """Every colour image."""
        for folder, split in self.splits.items():
            for kind in tree.listing(f"{category}/{folder}").folders:
                here = f"{category}/{folder}/{kind}/rgb"
                for file in tree.listing(here).files:
                    yield File(category, split, f"{here}/{file}", kind)

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """The masks beside the colour images of the test set; those of normal images are empty."""
        for kind in tree.listing(f"{category}/test").folders:
            here = f"{category}/test/{kind}/gt"
            for file in tree.listing(here).files:
                yield Mask(kind, stem_of(file), f"{here}/{file}")
