"""Layouts whose top folders are categories, and whose folders' names say the rest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import ClassVar

from storage.datasets.images import SUFFIXES
from storage.datasets.layouts.file import GOOD, File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.masks import Mask, below, stem_of
from storage.datasets.tree import Tree
from storage.errors import DatasetError, OneCategoryError

WITH_VALIDATION: Mapping[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


class ByCategory(Layout):
    """Images lie in CATEGORY/SPLIT/KIND, their masks where each layout says.

    Attributes:
        splits: folder of a category, and the split of the images in it.
        normal: name of the kind that is normal.
        joined: whether an image may have several masks.
    """

    splits: ClassVar[Mapping[str, Split]] = {"train": "train", "test": "test"}
    normal: ClassVar[str] = GOOD
    joined: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether a folder is laid out as a category."""

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are categories, and nothing that another layout lacks."""
        return any(cls.is_category(tree, folder) for folder in tree.listing().folders)

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """Names of the folders that are categories, or cannot be looked into."""
        met = {*tree.listing().folders, *(path for path in tree.unusable_folders if "/" not in path)}
        names = sorted(each for each in met if self.is_category(tree, each) or each in tree.unusable_folders)
        if not names and self.is_category(tree, ""):
            raise OneCategoryError(
                f"{tree.root} is one category: name its parent folder and `--category '{tree.root.name}'`"
            )
        if not names:
            raise DatasetError(f"no category under {tree.root}: expected {self.expected()}")
        return names

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image of these categories with its masks, then every mask that no image claims."""
        for category in categories:
            yield from self._files(tree, category)

    def images(self, tree: Tree, category: str) -> Iterator[File]:
        """Every image of a category, without its masks."""
        for folder, split in self.splits.items():
            for kind, path in below(tree, f"{category}/{folder}"):
                yield File(category, split, path, GOOD if kind == self.normal else kind)

    def masks(self, tree: Tree, category: str) -> Iterator[Mask]:
        """Every file of a mask of a category, sorted by its path."""
        for kind, path in below(tree, f"{category}/ground_truth"):
            yield Mask(GOOD if kind == self.normal else kind, stem_of(path), path)

    def _files(self, tree: Tree, category: str) -> Iterator[File]:
        masks: dict[tuple[str, str], list[str]] = {}
        drawn = list(self.masks(tree, category))
        for mask in drawn:
            if PurePosixPath(mask.path).suffix.lower() in SUFFIXES:
                masks.setdefault((mask.defect, mask.stem), []).append(mask.path)
        claimed, found = set(), False
        for image in self.images(tree, category):
            found = True
            own = masks.get((image.defect, PurePosixPath(image.image_id).stem), [])
            if image.split == "test" and own:
                image = replace(image, masks=tuple(own if self.joined else own[:1]))
                claimed |= set(image.masks)
            yield image
        if not found and category not in tree.unusable_folders:
            yield File(category, "train", category, reason=f"no image in {', '.join(self.splits)}")
        for mask in drawn:
            if mask.path not in claimed:
                reason = f"a mask without an image: {mask.defect}/{mask.stem}"
                yield File(category, "ground_truth", mask.path, mask.defect, reason=reason)
