"""What a layout is: how the files of a dataset are told apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from storage.datasets.arrays import read_slice, slice_of
from storage.datasets.layouts.file import File
from storage.datasets.tree import Tree
from storage.errors import DatasetError
from storage.store.location import Location, read_bytes


@dataclass(frozen=True, kw_only=True)
class Layout(ABC):
    """Finds the images of a dataset, and says the category, the side, the label and the mask of each.

    A layout is a frozen dataclass whose fields are its settings, each with a default where there is one; its
    docstring shows the paths it expects. It is known when `known.py` lists it.

    Attributes:
        kind: its name, and the value of `kind` in a file of registered datasets.
        mask_threshold: a mask's pixel is anomalous above it, on the scale of 0 to 255; None: as the masks of
            the category tell (`storage/datasets/masks.py`).
    """

    kind: str = ""
    mask_threshold: int | None = None

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        """Check each setting; DatasetError names the first that is wrong."""
        if self.mask_threshold is not None and not 0 <= self.mask_threshold < 255:
            raise DatasetError(f"mask_threshold is {self.mask_threshold}: it is a number from 0 to 254")

    @classmethod
    def recognises(cls, tree: Tree) -> bool:  # noqa: ARG003 (of those that say more)
        """Whether the files are laid out so beyond doubt; a layout that needs settings never says so."""
        return False

    @classmethod
    def expected(cls) -> str:
        """The first path of the docstring, for errors."""
        lines = [line.strip() for line in (cls.__doc__ or "").splitlines()[1:]]
        return next((line for line in lines if line), cls.kind)

    @abstractmethod
    def categories(self, tree: Tree, name: str) -> list[str]:
        """Names of the categories, sorted; `name` is the dataset's.

        Raises:
            DatasetError: there is none; it says what is expected where.
        """

    @abstractmethod
    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:
        """Every image of these categories, and every mask that no image claims; nothing of them is read."""

    def content(self, root: Location, name: str) -> bytes:
        """The content of an image or a mask, given the dataset's root and the path that `files` named.

        Raises:
            OSError, ValueError: there is none, or it cannot be read.
        """
        part = slice_of(name)
        return read_bytes(root / name) if part is None else read_slice(root / part[0], part[1])

    def trained(self, contents: Iterable[str]) -> set[str]:
        """Those of a category's undecided normal images, given as SHA-256, to train with."""
        return set(contents)
