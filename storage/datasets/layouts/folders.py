"""A layout that is described by patterns, for images that lie in any folders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from storage.datasets.globs import check_patterns, find
from storage.datasets.layouts.division import Divided
from storage.datasets.layouts.file import GOOD, File, Split
from storage.datasets.layouts.templates import check_template, filled
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_NAMES = ("category", "defect", "sample")
_UNNAMED = "anomalous"


@dataclass(frozen=True)
class Folders(Divided):
    """Images and masks found by patterns (`storage/datasets/globs.py`) of paths below the root.

    A file belongs to the first that matches, in the order `train_normal`, `test_normal`, `normal`,
    `anomalous`. A file that is another's mask is no image. Views of a piece have
    the part `{sample}` in common.

    Attributes:
        normal: normal images, divided into training and test images by a seeded hash of their content.
        train_normal: normal training images, where a division is published.
        test_normal: normal test images, where a division is published.
        anomalous: anomalous test images; the kind of defect is the part `{defect}`, or the name in a table;
            the kind "good" is normal.
        mask: path of an image's mask, made of {parent}, {stem}, {name}, {category} and {defect}.
        category: name of the one category where no pattern has a part `{category}`; None for the dataset's.
        train_share: share of `normal` to train with, met on average: a new image moves no other.
        train_number: if given, how many of `normal` to train with: a new image moves at most one other.
        seed: of the division.
    """

    normal: tuple[str, ...] = ()
    train_normal: tuple[str, ...] = ()
    test_normal: tuple[str, ...] = ()
    anomalous: tuple[str, ...] | Mapping[str, str] = ()
    mask: str | None = None
    category: str | None = None
    kind: Literal["folders"] = "folders"

    def __post_init__(self) -> None:
        """Check each setting; DatasetError names the first that is wrong."""
        if not self.normal and not self.train_normal:
            raise DatasetError("neither normal nor train_normal names a pattern: one is needed to train with")
        named = check_patterns([pattern for *_, pattern in self._patterns()], _NAMES, common="category")
        if named and self.category is not None:
            raise DatasetError(f"category is {self.category!r}, and patterns have {{category}}: drop one")
        super().__post_init__()
        if self.mask is not None:
            check_template(self.mask)

    def categories(self, tree: Tree, name: str) -> list[str]:
        """Names of the categories that have an image."""
        found = sorted({file.category for file in self._files(tree, name)})
        if not found:
            patterns = ", ".join(pattern for _, _, pattern in self._patterns())
            raise DatasetError(f"no file under {tree.root} matches {patterns}: mend the layout's patterns")
        return found

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:
        """Every image of these categories; a mask is joined to its image by the template."""
        return (file for file in self._files(tree, name) if file.category in categories)

    def _patterns(self) -> Iterator[tuple[Split, str | None, str]]:
        """Split, kind of defect (None: as the pattern says) and pattern, in the order of precedence."""
        yield from (("train", GOOD, pattern) for pattern in self.train_normal)
        yield from (("test", GOOD, pattern) for pattern in self.test_normal)
        yield from (("undecided", GOOD, pattern) for pattern in self.normal)
        if isinstance(self.anomalous, Mapping):
            yield from (("test", defect, pattern) for defect, pattern in self.anomalous.items())
        else:
            yield from (("test", None, pattern) for pattern in self.anomalous)

    def _files(self, tree: Tree, name: str) -> list[File]:
        found: dict[str, File] = {}
        for split, defect, pattern in self._patterns():
            for image_id, parts in find(tree, pattern):
                category = parts.get("category") or self.category or name
                kind = defect or parts.get("defect", _UNNAMED)
                found.setdefault(image_id, File(category, split, image_id, kind, sample=parts.get("sample")))
        masks: dict[str, tuple[str, ...]] = {}
        for image_id, file in found.items():
            mask = filled(self.mask, image_id, file.category, file.defect) if self.mask else image_id
            folder, _, mask_name = mask.rpartition("/")
            if mask != image_id and mask_name in tree.listing(folder).files:
                masks[image_id] = (mask,)
        others = {mask for joined in masks.values() for mask in joined}
        return [
            file if file.split == "train" else replace(file, masks=masks.get(image_id, ()))
            for image_id, file in found.items()
            if image_id not in others
        ]
