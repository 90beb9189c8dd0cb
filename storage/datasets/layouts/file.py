"""A file that a layout found in a dataset, before anything of it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from storage.datasets.layouts.saturation import Saturations

GOOD = "good"
UNLABELLED = "unlabelled"
DEFECT = "defect"  # where no kind of it is named
Split = Literal["train", "validation", "test", "unlabelled", "undecided", "ground_truth"]


@dataclass(frozen=True)
class File:
    """An image, or a mask that no image claims (split "ground_truth").

    A normal image of the split "undecided" is divided by its content. `image_id` and `masks` are paths below
    the dataset's root; several masks of an image are joined. `by_mask` says that the image is anomalous only
    if its masks have an anomalous pixel, `defect` being its kind then. `sample` names the piece that the
    image is one of several views of. `saturations` is what is stated of the defects that the masks show.
    `reason` says why the file is not to be used.
    """

    category: str
    split: Split
    image_id: str
    defect: str = GOOD
    masks: tuple[str, ...] = ()
    by_mask: bool = False
    sample: str | None = None
    saturations: Saturations | None = None
    reason: str | None = None

    @property
    def anomalous(self) -> bool | None:
        """The label; None where there is none."""
        return None if self.defect == UNLABELLED else self.defect != GOOD
