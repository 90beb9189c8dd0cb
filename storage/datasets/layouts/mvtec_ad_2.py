"""The layout of MVTec AD 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from storage.datasets.layouts.by_category import ByCategory
from storage.datasets.layouts.file import UNLABELLED, File, Split
from storage.datasets.layouts.masks import Mask, below, stem_of
from storage.datasets.tree import Tree

_PRIVATE = ("test_private", "test_private_mixed")


@dataclass(frozen=True)
class MvtecAd2(ByCategory):
    """MVTec AD 2: two of the test sets have no labels; they are scored, and measured by the benchmark alone.

    CATEGORY/train/good/NAME.png
    CATEGORY/validation/good/NAME.png
    CATEGORY/test_public/good|bad/NAME.png
    CATEGORY/test_public/ground_truth/bad/NAME_mask.png
    CATEGORY/test_private|test_private_mixed/NAME.png
    """

    kind: Literal["mvtec_ad_2"] = "mvtec_ad_2"
    splits: ClassVar[Mapping[str, Split]] = {
        "train": "train",
        "validation": "validation",
        "test_public": "test",
    }

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether there is one of the test sets."""
        return bool({"test_public", *_PRIVATE} & {*tree.listing(folder).folders})

    def images(self, tree: Tree, category: str) -> Iterator[File]:
        """Every image, the unlabelled last."""
        truth = f"{category}/test_public/ground_truth/"
        for image in super().images(tree, category):
            if not image.image_id.startswith(truth):
                yield image
        for folder in _PRIVATE:
            for file in tree.listing(f"{category}/{folder}").files:
                yield File(category, "unlabelled", f"{category}/{folder}/{file}", UNLABELLED)

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """The masks of the public test set."""
        for kind, path in below(tree, f"{category}/test_public/ground_truth"):
            yield Mask(kind, stem_of(path), path)
