"""Which of a category's normal images are trained with, where nobody published a division."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from storage.datasets.layouts.interface import Layout
from storage.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class Divided(Layout):
    """A layout whose undecided images are divided by a seeded hash of their content.

    Attributes:
        train_share: share to train with, met on average: a new image moves no other.
        train_number: if given, how many to train with: a new image moves at most one other.
        seed: of the division.
    """

    train_share: float = 0.8
    train_number: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check each setting; DatasetError names the first that is wrong."""
        super().__post_init__()
        if not 0 < self.train_share < 1:
            raise DatasetError(f"train_share is {self.train_share}: it is a number between 0 and 1")
        if self.train_number is not None and self.train_number < 1:
            raise DatasetError(f"train_number is {self.train_number}: it is a whole number, 1 or more")

    def trained(self, contents: Iterable[str]) -> set[str]:
        """Those of the normal images' SHA-256 to train with: by the lowest hashes of seed and content."""
        ranked = sorted((self._hash(content), content) for content in set(contents))
        if self.train_number is not None:
            return {content for _, content in ranked[: self.train_number]}
        return {content for value, content in ranked if value < self.train_share}

    def _hash(self, content: str) -> float:
        """A number from 0 to 1 that a content and the seed always give."""
        return int(hashlib.sha256(f"{self.seed} {content}".encode()).hexdigest()[:13], 16) / 16**13
