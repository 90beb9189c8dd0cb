"""The layouts of MVTec AD 2, MVTec LOCO AD, MVTec 3D-AD and AutoVI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from storage.datasets.layouts.by_category import ByCategory, Mask, below, deeper, stem_of
from storage.datasets.layouts.file import UNLABELLED, File, Split
from storage.datasets.tree import Tree

_WITH_VALIDATION: Mapping[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


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
        """Whether there is a public test set."""
        return "test_public" in tree.listing(folder).folders

    def images(self, tree: Tree, category: str) -> Iterator[File]:
        """Every image, the unlabelled last."""
        truth = f"{category}/test_public/ground_truth/"
        for image in super().images(tree, category):
            if not image.image_id.startswith(truth):
                yield image
        for folder in ("test_private", "test_private_mixed"):
            for file in tree.listing(f"{category}/{folder}").files:
                yield File(category, "unlabelled", f"{category}/{folder}/{file}", UNLABELLED)

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """The masks of the public test set."""
        for kind, path in below(tree, f"{category}/test_public/ground_truth"):
            yield Mask(kind, stem_of(path), path)


@dataclass(frozen=True)
class MvtecLoco(ByCategory):
    """MVTec LOCO AD: an image has a mask for each of its defects.

    CATEGORY/train/good/NAME.png
    CATEGORY/validation/good/NAME.png
    CATEGORY/test/good|logical_anomalies|structural_anomalies/NAME.png
    CATEGORY/ground_truth/KIND/NAME/NUMBER.png
    CATEGORY/defects_config.json
    """

    kind: Literal["mvtec_loco"] = "mvtec_loco"
    splits: ClassVar[Mapping[str, Split]] = _WITH_VALIDATION
    joined: ClassVar[bool] = True

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether there are logical or structural anomalies."""
        kinds = {"logical_anomalies", "structural_anomalies"}
        return bool(kinds & {*tree.listing(f"{folder}/test").folders})

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """The masks of each image, in a folder of its name."""
        return deeper(tree, f"{category}/ground_truth")


@dataclass(frozen=True)
class Autovi(MvtecLoco):
    """AutoVI: as MVTec AD, but the masks of an image lie in a folder of its name.

    CATEGORY/train/good/NAME.png
    CATEGORY/test/good|DEFECT/NAME.png
    CATEGORY/ground_truth/DEFECT/NAME/0000.png
    """

    kind: Literal["autovi"] = "autovi"  # type: ignore[assignment]
    splits: ClassVar[Mapping[str, Split]] = ByCategory.splits

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether masks lie in folders, and there is no validation set."""
        truth = f"{folder}/ground_truth"
        return "validation" not in tree.listing(folder).folders and any(
            tree.listing(f"{truth}/{kind}").folders for kind in tree.listing(truth).folders
        )


@dataclass(frozen=True)
class Mvtec3d(ByCategory):
    """MVTec 3D-AD, its colour images: the point clouds are left alone.

    CATEGORY/train|validation/good/rgb/NAME.png
    CATEGORY/test/good|DEFECT/rgb/NAME.png
    CATEGORY/test/good|DEFECT/gt/NAME.png
    """

    kind: Literal["mvtec_3d"] = "mvtec_3d"
    splits: ClassVar[Mapping[str, Split]] = _WITH_VALIDATION

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
