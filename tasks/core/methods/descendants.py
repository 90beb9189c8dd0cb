"""SPADE's descendants, as settings of it: each as its authors' code has it, one setting for all datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from tasks.core.methods.spade import Spade
from tasks.core.methods.spade_settings import (
    Distance,
    Fusion,
    Gallery,
    ImageRule,
    Retrieval,
)
from tasks.core.networks.traits import Level
from tasks.core.settings import with_default


@dataclass(frozen=True)
class RAD(Spade):
    """Nearest patches level by level, by cosine, of the images retrieved by cosine; levels are averaged.

    "Is Training Necessary for Anomaly Detection?", arXiv 2601.22763. A patch is compared with those at most
    one cell away of the 150 nearest images, the authors' setting for MVTec AD, and the image score is the
    mean of the highest 1 % of the map. Their levels are blocks of a transformer after the final norm, of 448
    pixels of 512, and their filter, of sigma 1 at 256, ends after two pixels; here it is that of all methods.
    """

    name: ClassVar[str] = "rad"
    fusion: Fusion = with_default(Spade, "fusion", "average")
    distance: Distance = with_default(Spade, "distance", "cosine")
    k_gallery: int = with_default(Spade, "k_gallery", 150)
    window: int = with_default(Spade, "window", 1)
    image_rule: ImageRule = with_default(Spade, "image_rule", "map")
    retrieval: Retrieval = with_default(Spade, "retrieval", "cosine")


@dataclass(frozen=True)
class AnomalyDINO(Spade):
    """Nearest patch of all training images by cosine, of the last level; the highest 1 % are the image score.

    Damm, Laszkiewicz, Lederer, Fischer, "AnomalyDINO", arXiv 2405.14529, with all training images. The
    authors rotate training images where they have few of them, and leave out the background of test images
    for some objects that they name: here neither is done, as for their other objects. `foreground` does the
    latter for all; its threshold fits DINOv2's features. Nothing is rotated: features are those of images as
    they are.
    """

    name: ClassVar[str] = "anomalydino"
    gallery: Gallery = with_default(Spade, "gallery", "all")
    distance: Distance = with_default(Spade, "distance", "cosine")
    image_rule: ImageRule = with_default(Spade, "image_rule", "patches")

    @staticmethod
    def default_levels(levels: tuple[Level, ...]) -> tuple[Level, ...]:
        """The last one."""
        return levels[-1:]
