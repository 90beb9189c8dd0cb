"""A layout that a table describes: one row an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.datasets.layouts.division import Divided
from storage.datasets.layouts.file import GOOD, UNLABELLED, File, Split
from storage.datasets.layouts.rows import SUFFIXES, table_rows
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_SPLITS: Mapping[str, Split] = {
    **{"train": "train", "validation": "validation", "val": "validation", "test": "test"},
    "": "undecided",
}
_NORMAL = frozenset({"good", "normal", "ok", "0", "false", "0.0"})


@dataclass(frozen=True)
class Table(Divided):
    """A table in CSV, JSON lines or Parquet: a row an image, its paths below the root.

    NAME.csv|NAME.jsonl|NAME.parquet              image, split, label or defect, mask, category, sample

    All columns but image may be absent. A label is good, normal, ok or 0, or else a kind of defect; without
    one a test image is unlabelled and any other normal. A normal image without a split is divided by its
    content. Several masks of an image have semicolons between them.

    Attributes:
        table: the table's file; None for the only one at the root.
        category: of images without one; None for the dataset's name.
        train_share: share of normal images to train with, met on average: a new image moves no other.
        train_number: if given, how many to train with: a new image moves at most one other.
        seed: of the division.
    """

    table: str | None = None
    category: str | None = None
    kind: Literal["table"] = "table"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there is one table at the root, and it has a column image."""
        try:
            return bool(cls()._rows(tree))
        except DatasetError:
            return False

    def categories(self, tree: Tree, name: str) -> list[str]:
        """Names in the column category."""
        return sorted({self._category(row, name) for row in self._rows(tree)})

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:
        """Every row of these categories."""
        for row in self._rows(tree):
            category = self._category(row, name)
            if category in categories:
                yield _file(row, category)

    def _category(self, row: Mapping[str, str], name: str) -> str:
        return row.get("category") or self.category or name

    def _rows(self, tree: Tree) -> list[dict[str, str]]:
        found = [file for file in tree.listing().files if file.endswith(SUFFIXES)]
        path = self.table or (found[0] if len(found) == 1 else None)
        if path is None:
            raise DatasetError(f"{len(found)} tables in {tree.root}: name one as `table` of the layout")
        try:
            rows = table_rows(path, tree.read(path))
        except (OSError, ValueError, AttributeError) as error:
            raise DatasetError(f"{tree.root / path} cannot be read ({error})") from error
        if not rows or not all(row.get("image") for row in rows):
            raise DatasetError(f"{tree.root / path} has no column image with a path in each row")
        return rows


def _file(row: Mapping[str, str], category: str) -> File:
    split = row.get("split", "").lower()
    label = row.get("defect") or row.get("label") or (UNLABELLED if split == "test" else GOOD)
    defect = GOOD if label.lower() in _NORMAL else label
    masks = tuple(mask.strip() for mask in row.get("mask", "").split(";") if mask.strip())
    if split not in _SPLITS:
        return File(category, "test", row["image"], defect, reason=f"no such split: {split}")
    side: Split = "unlabelled" if defect == UNLABELLED else _SPLITS[split]
    return File(category, side, row["image"], defect, masks, sample=row.get("sample") or None)
