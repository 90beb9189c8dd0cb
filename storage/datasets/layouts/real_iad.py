"""The layout of Real-IAD."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from storage.datasets.layouts.file import GOOD, File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError

_SIZES = (256, 512, 1024)
_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class RealIad(Layout):
    """Real-IAD: a list divides the images of each category; a sample is photographed from five sides.

    realiad_256|512|1024/CATEGORY/PATH.jpg
    realiad_jsons/DIVISION/CATEGORY.json          train, test: anomaly_class, image_path, mask_path

    Attributes:
        division: folder of the lists below realiad_jsons.
        size: of the images; None for the only or the largest that is there.
    """

    division: str = "realiad_jsons"
    size: Literal[256, 512, 1024] | None = None
    kind: Literal["real_iad"] = "real_iad"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are lists, and images of a size."""
        folders = tree.listing().folders
        return "realiad_jsons" in folders and any(_folder(size) in folders for size in _SIZES)

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """Names of the lists."""
        folder = f"realiad_jsons/{self.division}"
        lists = [PurePosixPath(file) for file in tree.listing(folder).files if file.endswith(".json")]
        if not lists:
            raise DatasetError(f"no list in {tree.root / folder}: expected CATEGORY.json")
        return sorted(path.stem for path in lists)

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image of the lists of these categories."""
        there = [size for size in _SIZES if _folder(size) in tree.listing().folders]
        size: int = self.size or max(there, default=1024)
        for category in categories:
            content = self._list(tree, category)
            here = f"{_folder(size)}/{category}"
            tree.gather(here)  # a folder a sample
            for split in _SPLITS:
                for row in content[split]:
                    kind, mask = row["anomaly_class"], row.get("mask_path")
                    masks = (f"{here}/{mask}",) if mask else ()
                    path = f"{here}/{row['image_path']}"
                    defect = GOOD if kind == "OK" else kind
                    sample = str(PurePosixPath(row["image_path"]).parent)
                    yield File(category, split, path, defect, masks, sample=sample)

    def _list(self, tree: Tree, category: str) -> dict[str, list[dict[str, Any]]]:
        path = f"realiad_jsons/{self.division}/{category}.json"
        try:
            content = json.loads(tree.read(path))
            return {split: [dict(row) for row in content[split]] for split in _SPLITS}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{tree.root / path} cannot be read ({error}): expected train, test"
            ) from error


def _folder(size: int) -> str:
    return f"realiad_{size}"
