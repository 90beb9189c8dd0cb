"""The layout of MVTec AD."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from storage.datasets.images import SUFFIXES
from storage.datasets.layouts.file import File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class Mvtec(Layout):
    """Everything is said by the folders' names; a mask may lack the ending _mask.

    CATEGORY/train/good/NAME.png
    CATEGORY/test/good|DEFECT/NAME.png
    CATEGORY/ground_truth/DEFECT/NAME_mask.png
    """

    kind: Literal["mvtec"] = "mvtec"

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """Names of the folders that have a train or a test folder, or cannot be looked into."""
        met = {*tree.listing().folders, *(path for path in tree.unusable_folders if "/" not in path)}
        names = sorted(folder for folder in met if _is_category(tree, folder))
        if not names and _is_category(tree, ""):
            raise DatasetError(
                f"{tree.root} is one category: name its parent folder and `--category '{tree.root.name}'`"
            )
        if not names:
            raise DatasetError(
                f"no category under {tree.root}: expected CATEGORY/train/good and CATEGORY/test/DEFECT"
            )
        return names

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every file of these categories; a mask is joined to its image by name."""
        for category in categories:
            yield from _files(tree, category)


def _files(tree: Tree, category: str) -> Iterator[File]:
    drawn = _below(tree, f"{category}/ground_truth")
    masks: dict[tuple[str, str], str] = {}
    for defect, file in drawn:
        path = PurePosixPath(file)
        if path.suffix.lower() in SUFFIXES:
            masks.setdefault((defect, path.stem.removesuffix("_mask")), file)
    claimed = set()
    images = {split: _below(tree, f"{category}/{split}") for split in _SPLITS}
    for split in _SPLITS:
        for defect, file in images[split]:
            image = File(category, split, f"{category}/{split}/{defect}/{file}", defect)
            if split == "train" and image.anomalous:
                yield replace(image, reason="training images are read from train/good alone")
                continue
            mask = masks.get((defect, PurePosixPath(file).stem)) if split == "test" else None
            if mask is not None:
                claimed.add((defect, mask))
                image = replace(image, masks=(f"{category}/ground_truth/{defect}/{mask}",))
            yield image
    if not any(images.values()) and category not in tree.unusable_folders:
        yield File(category, "train", category, reason="no file in train or test")
    for defect, file in sorted(set(drawn) - claimed):
        lacking = f"test/{defect}/{PurePosixPath(file).stem.removesuffix('_mask')}"
        path_of_mask = f"{category}/ground_truth/{defect}/{file}"
        yield File(
            category, "ground_truth", path_of_mask, defect, reason=f"a mask without an image: {lacking}"
        )


def _is_category(tree: Tree, folder: str) -> bool:
    return bool({"train", "test"} & set(tree.listing(folder).folders)) or folder in tree.unusable_folders


def _below(tree: Tree, folder: str) -> list[tuple[str, str]]:
    """Each file of each folder in `folder`, sorted."""
    return [
        (name, file)
        for name in tree.listing(folder).folders
        for file in tree.listing(f"{folder}/{name}").files
    ]
