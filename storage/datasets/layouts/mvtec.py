"""The layout of MVTec AD, and those that differ from it in names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from storage.datasets.layouts.by_category import ByCategory
from storage.datasets.tree import Tree


@dataclass(frozen=True)
class Mvtec(ByCategory):
    """MVTec AD: everything is said by the folders' names; a mask may lack the ending _mask.

    CATEGORY/train/good/NAME.png
    CATEGORY/test/good|DEFECT/NAME.png
    CATEGORY/ground_truth/DEFECT/NAME_mask.png
    """

    kind: Literal["mvtec"] = "mvtec"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:  # noqa: ARG003
        """It is what is taken where no other layout is recognised."""
        return False

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether there is a train or a test folder, whose images, if any, lie in folders of their kinds."""
        found = {"train", "test"} & {*tree.listing(folder).folders}
        inside = [tree.listing(f"{folder}/{name}") for name in found]
        return any(listing.folders or not listing.files for listing in inside)


@dataclass(frozen=True)
class Mpdd(Mvtec):
    """MPDD, metal parts: as MVTec AD.

    CATEGORY/train/good/NAME.png
    CATEGORY/test/good|DEFECT/NAME.png
    CATEGORY/ground_truth/DEFECT/NAME_mask.png
    """

    kind: Literal["mpdd"] = "mpdd"  # type: ignore[assignment]


@dataclass(frozen=True)
class Btad(ByCategory):
    """BTAD: as MVTec AD, with other names of kinds; images and masks are bmp or png.

    CATEGORY/train/ok/NAME.bmp
    CATEGORY/test/ok|ko/NAME.bmp
    CATEGORY/ground_truth/ko/NAME.png
    """

    kind: Literal["btad"] = "btad"
    normal: ClassVar[str] = "ok"

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether training images are called ok."""
        return "ok" in tree.listing(f"{folder}/train").folders
