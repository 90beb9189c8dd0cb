"""How many images known datasets were published with, category by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from storage.datasets.layouts.interface import Layout
from storage.datasets.manifest import ImageFile, Manifest


class Counts(NamedTuple):
    """Numbers of images of a category; normal test images and anomalous ones apart."""

    train: int
    test_normal: int
    test_anomalous: int
    validation: int = 0


class Published(NamedTuple):
    """A dataset, the layouts that it comes in, and its categories."""

    title: str
    layouts: Sequence[str]
    categories: Mapping[str, Counts]


class Comparison(NamedTuple):
    """A split of a category: how many images of it are there, and how many were published."""

    title: str
    category: str
    split: str
    found: int
    published: int

    def __str__(self) -> str:
        """As 'VisA candle: 1,000 of 1,000 train'."""
        return f"{self.title} {self.category}: {self.found:,} of {self.published:,} {self.split}"


_MVTEC = {
    "bottle": Counts(209, 20, 63),
    "cable": Counts(224, 58, 92),
    "capsule": Counts(219, 23, 109),
    "carpet": Counts(280, 28, 89),
    "grid": Counts(264, 21, 57),
    "hazelnut": Counts(391, 40, 70),
    "leather": Counts(245, 32, 92),
    "metal_nut": Counts(220, 22, 93),
    "pill": Counts(267, 26, 141),
    "screw": Counts(320, 41, 119),
    "tile": Counts(230, 33, 84),
    "toothbrush": Counts(60, 12, 30),
    "transistor": Counts(213, 60, 40),
    "wood": Counts(247, 19, 60),
    "zipper": Counts(240, 32, 119),
}
_VISA = {
    "candle": Counts(900, 100, 100),
    "capsules": Counts(542, 60, 100),
    "cashew": Counts(450, 50, 100),
    "chewinggum": Counts(453, 50, 100),
    "fryum": Counts(450, 50, 100),
    "macaroni1": Counts(900, 100, 100),
    "macaroni2": Counts(900, 100, 100),
    "pcb1": Counts(904, 100, 100),
    "pcb2": Counts(901, 100, 100),
    "pcb3": Counts(905, 101, 100),
    "pcb4": Counts(904, 101, 100),
    "pipe_fryum": Counts(450, 50, 100),
}
_LOCO = {
    "breakfast_box": Counts(351, 102, 173, 62),
    "juice_bottle": Counts(335, 94, 236, 54),
    "pushpins": Counts(372, 138, 172, 69),
    "screw_bag": Counts(360, 122, 219, 60),
    "splicing_connectors": Counts(354, 119, 193, 59),
}
_MPDD = {
    "bracket_black": Counts(289, 32, 47),
    "bracket_brown": Counts(185, 26, 51),
    "bracket_white": Counts(110, 30, 30),
    "connector": Counts(128, 30, 14),
    "metal_plate": Counts(54, 26, 71),
    "tubes": Counts(122, 32, 69),
}
PUBLISHED = (
    Published("MVTec AD", ("mvtec",), _MVTEC),
    Published("VisA", ("visa", "visa_1cls"), _VISA),
    Published("MVTec LOCO AD", ("mvtec_loco",), _LOCO),
    Published("MPDD", ("mvtec", "mpdd"), _MPDD),
)


def known_dataset(layout: Layout, categories: Sequence[str]) -> Published | None:
    """The dataset that a layout and the names of all its categories show, or None."""
    for known in PUBLISHED:
        if layout.kind in known.layouts and categories and set(categories) <= known.categories.keys():
            return known
    return None


def compare(manifest: Manifest, known: Published) -> list[Comparison]:
    """What is there of each split of each category; files that cannot be used count as missing."""
    rows = []
    for category in manifest.categories():
        part = manifest.of(category)
        numbers = (
            ("train", part.train(), known.categories[category].train),
            ("validation", part.validation(), known.categories[category].validation),
            ("test good", _of_label(part, anomalous=False), known.categories[category].test_normal),
            ("test defects", _of_label(part, anomalous=True), known.categories[category].test_anomalous),
        )
        rows += [
            Comparison(known.title, category, split, len(images), published)
            for split, images, published in numbers
            if published or images
        ]
    return rows


def _of_label(part: Manifest, *, anomalous: bool) -> list[ImageFile]:
    return [image for image in part.test() if image.anomalous is anomalous]
