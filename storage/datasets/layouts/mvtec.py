"""The layout of MVTec AD.

ROOT/CATEGORY/train/good/NAME.png
ROOT/CATEGORY/test/good|DEFECT/NAME.png
ROOT/CATEGORY/ground_truth/DEFECT/NAME_mask.png
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

from storage.datasets.images import HALF_SCALE, SUFFIXES
from storage.datasets.layouts.file import File, Split
from storage.datasets.listing import listing
from storage.errors import DatasetError
from storage.store.location import Location

_SPLITS: tuple[Split, ...] = ("train", "test")


@dataclass(frozen=True)
class Mvtec:
    """The layout of MVTec AD: everything is said by the folders' names."""

    kind: Literal["mvtec"] = "mvtec"

    mask_threshold: ClassVar[int] = HALF_SCALE
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    def categories(self, root: Location, name: str) -> list[str]:  # noqa: ARG002 (all layouts alike)
        """Names of the folders under `root` that have a train or a test folder.

        Raises:
            DatasetError: there is none.
        """
        names = [folder for folder in listing(root).folders if _is_category(root / folder)]
        if not names and _is_category(root):
            raise DatasetError(
                f"{root} is one category: name its parent folder and `--category '{root.name}'`"
            )
        if not names:
            raise DatasetError(
                f"no category under {root}: expected CATEGORY/train/good and CATEGORY/test/DEFECT"
            )
        return names

    def files(self, root: Location, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """Every file of these categories; a mask is joined to its image by name."""
        for category in categories:
            yield from _files(root / category, category)


def _files(base: Location, category: str) -> Iterator[File]:
    drawn = _below(base / "ground_truth")
    masks: dict[tuple[str, str], str] = {}
    for defect, file in drawn:
        path = PurePosixPath(file)
        if path.suffix.lower() in SUFFIXES:
            masks.setdefault((defect, path.stem.removesuffix("_mask")), file)
    claimed = set()
    images = {split: _below(base / split) for split in _SPLITS}
    for split in _SPLITS:
        for defect, file in images[split]:
            image = File(category, split, f"{category}/{split}/{defect}/{file}", defect)
            if split == "train" and image.anomalous:
                yield replace(image, reason="training images are read from train/good alone")
                continue
            mask = masks.get((defect, PurePosixPath(file).stem)) if split == "test" else None
            if mask is not None:
                claimed.add((defect, mask))
                image = replace(image, mask=f"{category}/ground_truth/{defect}/{mask}")
            yield image
    if not any(images.values()):
        yield File(category, "train", category, reason="no file in train or test")
    for defect, file in sorted(set(drawn) - claimed):
        lacking = f"test/{defect}/{PurePosixPath(file).stem.removesuffix('_mask')}"
        path_of_mask = f"{category}/ground_truth/{defect}/{file}"
        yield File(
            category, "ground_truth", path_of_mask, defect, reason=f"a mask without an image {lacking}"
        )


def _is_category(folder: Location) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


def _below(folder: Location) -> list[tuple[str, str]]:
    """Each file of each folder in `folder`, sorted."""
    return [(name, file) for name in listing(folder).folders for file in listing(folder / name).files]
