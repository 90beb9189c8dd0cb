"""The layout of COCO: annotations of instances, drawn as masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from storage.datasets.arrays import slice_name, slice_of
from storage.datasets.layouts.annotations import Annotations, annotations_of
from storage.datasets.layouts.file import GOOD, File, Split
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError
from storage.store.location import Location, read_bytes

_SPLITS: Mapping[str, Split] = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Coco(Layout):
    """COCO: polygons or run lengths become masks; an image without annotations is normal.

    annotations/instances_PART.json               PART begins with train, val or test
    PART/NAME.jpg, images/PART/NAME.jpg or images/NAME.jpg

    Anomalous images of the validation set are test images.

    Attributes:
        category: name of the one category; None for the dataset's.
    """

    category: str | None = None
    kind: Literal["coco"] = "coco"

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are annotations of instances."""
        return bool(_parts(tree))

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The name of the one category."""
        if not _parts(tree):
            raise DatasetError(f"no annotations under {tree.root}: expected annotations/instances_train.json")
        return [self.category or name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every image of the annotations, its own drawn as one mask."""
        for part in _parts(tree):
            path = _path(part)
            split: Split = next((side for start, side in _SPLITS.items() if part.startswith(start)), "test")
            try:
                parsed = Annotations(tree.read(path))
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise DatasetError(f"{tree.root / path} cannot be read ({error})") from error
            for number, image in parsed.images.items():
                kinds = sorted({parsed.kinds[each["category_id"]] for each in parsed.annotations[number]})
                masks = (slice_name(path, number),) if kinds else ()
                side: Split = "test" if kinds and split == "validation" else split
                place = _place(tree, part, image["file_name"])
                yield File(self.category or name, side, place, "+".join(kinds) or GOOD, masks)

    def content(self, root: Location, name: str) -> bytes:
        """The content of an image, or as an array the mask that its annotations describe."""
        part = slice_of(name)
        if part is None:
            return read_bytes(root / name)
        file = root / part[0]
        return annotations_of(file, file.medium.stamp(file.path)).mask(part[1])


def _parts(tree: Tree) -> list[str]:
    start, end = "instances_", ".json"
    files = tree.listing("annotations").files
    return [f[len(start) : -len(end)] for f in files if f.startswith(start) and f.endswith(end)]


def _path(part: str) -> str:
    return f"annotations/instances_{part}.json"


def _place(tree: Tree, part: str, file: str) -> str:
    for place in (f"{part}/{file}", f"images/{part}/{file}", f"images/{file}"):
        folder, _, name = place.rpartition("/")
        if name in tree.listing(folder).files:
            return place
    return file
