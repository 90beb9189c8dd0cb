"""A file that a layout found in a dataset, before anything of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GOOD = "good"
Split = Literal["train", "test", "undecided", "ground_truth"]


@dataclass(frozen=True)
class File:
    """An image, or a mask that no image claims (split "ground_truth").

    A normal image of the split "undecided" is divided by its content. `image_id` and `mask` are paths below
    the dataset's root; `reason` says why the file is not to be used.
    """

    category: str
    split: Split
    image_id: str
    defect: str = GOOD
    mask: str | None = None
    reason: str | None = None

    @property
    def anomalous(self) -> bool:
        """The label."""
        return self.defect != GOOD
