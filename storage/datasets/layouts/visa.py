"""The layouts of VisA: as published, and as reorganised for one class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.datasets.layouts.by_category import ByCategory
from storage.datasets.layouts.file import GOOD, File
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.masks import below
from storage.datasets.tree import Tree
from storage.errors import DatasetError


@dataclass(frozen=True)
class Visa(Layout):
    """VisA as published: a table divides the images; masks hold small numbers, one a kind of defect.

    CATEGORY/Data/Images/Normal|Anomaly/NAME.JPG
    CATEGORY/Data/Masks/Anomaly/NAME.png
    split_csv/1cls.csv                            object, split, label, image, mask

    Attributes:
        division: the table that divides.
    """

    division: str = "split_csv/1cls.csv"
    kind: Literal["visa"] = "visa"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there is the table, and a category's folder of images."""
        return "1cls.csv" in tree.listing("split_csv").files and any(
            "Images" in tree.listing(f"{folder}/Data").folders for folder in tree.listing().folders
        )

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """The objects of the table."""
        return sorted({row["object"] for row in self._rows(tree)})

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every row of the table, and each image of these categories that has none."""
        listed = set()
        for row in self._rows(tree):
            if row["object"] in categories:
                listed.add(row["image"])
                defect = GOOD if row["label"] == "normal" else row["label"]
                masks = (row["mask"],) if row["mask"] else ()
                split: Literal["train", "test"] = "train" if row["split"] == "train" else "test"
                yield File(row["object"], split, row["image"], defect, masks)
        for category in categories:
            for kind, path in below(tree, f"{category}/Data/Images"):
                if path not in listed:
                    defect = GOOD if kind == "Normal" else "anomaly"
                    yield File(category, "test", path, defect, reason=f"not in {self.division}")

    def _rows(self, tree: Tree) -> list[dict[str, str]]:
        try:
            rows = list(csv.DictReader(tree.read(self.division).decode("utf-8-sig").splitlines()))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DatasetError(f"{tree.root / self.division} cannot be read ({error})") from error
        columns = {"object", "split", "label", "image", "mask"}
        if not rows or columns - rows[0].keys():
            raise DatasetError(f"{tree.root / self.division} lacks columns: expected {', '.join(columns)}")
        return rows


@dataclass(frozen=True)
class Visa1cls(ByCategory):
    """VisA as its authors' script reorganises it for one class: masks are called as their images.

    CATEGORY/train/good/NAME.JPG
    CATEGORY/test/good|bad/NAME.JPG
    CATEGORY/ground_truth/bad/NAME.png
    """

    kind: Literal["visa_1cls"] = "visa_1cls"

    @classmethod
    def is_category(cls, tree: Tree, folder: str) -> bool:
        """Whether defects are called bad, and masks as their images."""
        masks = tree.listing(f"{folder}/ground_truth/bad").files
        return {*tree.listing(f"{folder}/test").folders} == {"good", "bad"} and not any(
            "_mask." in name for name in masks
        )
