"""What the paper (arXiv 2005.02357v3) leaves open, and what is done here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """Something that has to be settled before the figures of some tables can be computed.

    Attributes:
        where: section, equation or table of the paper.
        question: what it does not say.
        choice: what is done; a column of the runs table in braces stands for the run's value.
        tables: of the paper, that depend on it.
    """

    where: str
    question: str
    choice: str
    tables: tuple[int, ...]


_MAPS = (2, 3, 5, 6, 7)
CHOICES: Sequence[Choice] = (
    Choice(
        "section 3.3",
        "how the coarse levels reach the finest grid when they are concatenated",
        "{upsampling} interpolation (--upsampling)",
        (2, 3, 5, 7),
    ),
    Choice(
        "equation 3",
        "whether distances are squared, or their roots as in public code",
        "{distance}, where squared is what the equation says",
        _MAPS,
    ),
    Choice(
        "section 4",
        "how the 224x224 crop is measured at 256x256",
        "the map and the mask of the crop are brought to {metric_resolution}x{metric_resolution}, the map "
        "bilinearly, the mask by nearest sampling; what lies outside the crop is not measured",
        (2, 3, 6, 7),
    ),
    Choice(
        "section 4",
        "in which order maps are upsampled and filtered",
        "upsampled first, then the Gaussian filter of sigma {sigma:g} pixels at {metric_resolution}",
        _MAPS,
    ),
    Choice(
        "table 3",
        "how the regions and the curve of PRO are taken",
        "8-connected regions, every threshold, false-positive rate over the normal pixels of all test "
        "images, interpolated at 0.3 and divided by it",
        (3, 6, 7),
    ),
    Choice(
        "table 6",
        "how one level alone becomes a map",
        "matched on its own grid with the same K, then upsampled and filtered as all",
        (6,),
    ),
    Choice(
        "table 7",
        "how random normals are drawn",
        "anew for each test image, with seed {gallery_seed} (--gallery-seed)",
        (7,),
    ),
    Choice(
        "tables 4 and 5",
        "which frames are used, and how they are ranked",
        "training frames spread evenly over all videos, test frames 0, 5, 10, ... of each video; the frames "
        "of all videos are ranked together, by the image score of equation 2, not normalised by video",
        (4, 5),
    ),
    Choice(
        "section 4",
        "in which precision features are compared",
        "stored as {dtype} (--dtype), computed in {precision} (--precision)",
        (1, 2, 3, 4, 5, 6, 7),
    ),
)


def choices_of(tables: Sequence[int], run: Mapping[str, Any]) -> Iterator[str]:
    """A line a choice that these tables depend on, as made in a run, a row of the runs table."""
    for choice in CHOICES:
        if set(tables) & set(choice.tables):
            yield f"{choice.where}, {choice.question}: {choice.choice.format_map(run)}"
