"""Figures that others published, and what makes a run comparable with them.

`figures.csv` holds tables 1 to 7 of Cohen and Hoshen, arXiv 2005.02357v3, and the categories of two public
reimplementations with wide_resnet50_2; percent.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from tasks.core.config import Configuration
from tasks.core.methods.spade import Spade
from tasks.core.settings import declarations

SOURCES: Mapping[str, str] = {
    "paper": "Cohen and Hoshen, Sub-Image Anomaly Detection with Deep Pyramid Correspondences, "
    "arXiv 2005.02357v3, tables 1 to 7",
    "SPADE-pytorch": "public reimplementation: levels matched one by one, maps of distances averaged, "
    "measured on the 224x224 crop",
    "SPADE-fast": "public reimplementation: the same with squared distances",
}

# Training, normal test and anomalous test images of MVTec AD (Bergmann et al., CVPR 2019, table 1).
IMAGES: Mapping[str, tuple[int, int, int]] = {
    "bottle": (209, 20, 63),
    "cable": (224, 58, 92),
    "capsule": (219, 23, 109),
    "carpet": (280, 28, 89),
    "grid": (264, 21, 57),
    "hazelnut": (391, 40, 70),
    "leather": (245, 32, 92),
    "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141),
    "screw": (320, 41, 119),
    "tile": (230, 33, 84),
    "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40),
    "wood": (247, 19, 60),
    "zipper": (240, 32, 119),
}

CAMPUS = "shanghaitech_campus"  # the one category of tables 4 and 5
AVERAGE = "average"  # the category of means over all of `IMAGES`

_WIDE_RESNET50_2 = "95faca4d"  # torchvision's IMAGENET1K_V1: its file's name holds the first of its SHA-256
_PAPER: Mapping[str, Any] = {  # what the paper states is the default; it matches all levels of its network
    name: default
    for kind in (Configuration, Spade)
    for name, declared, default in declarations(kind)
    if declared.stated
} | {"levels": list(map(str, Configuration().levels))}
_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "paper": _PAPER,
    "SPADE-pytorch": {**_PAPER, "fusion": "average", "distance": "euclidean", "metric_resolution": 224},
    "SPADE-fast": {**_PAPER, "fusion": "average", "metric_resolution": 224},
}
_LATER: Mapping[str, Any] = {  # settings that the table of a run may not have yet
    name: declared.absent[0] for name, declared, _ in declarations(Spade) if declared.absent
}
_OF_SPADE = {name for name, _, _ in declarations(Spade)}
_CAMPUS_SETTINGS = {"protocol": "full256", "train_number": 5000, "test_step": 5}
_VARIANTS: Mapping[str, Mapping[str, Any]] = {  # of the method, in tables 6 and 7
    "SPADE 56x56 only": {"levels": ["4"]},
    "SPADE 28x28 only": {"levels": ["8"]},
    "SPADE 14x14 only": {"levels": ["16"]},
    "SPADE K=10 random normals": {"gallery": "random"},
}


@dataclass(frozen=True)
class Figure:
    """One published value, a share of 1; `table` of the paper, and the K of SPADE's figures."""

    source: str
    table: int | None
    metric: str
    category: str
    method: str
    k: int | None
    value: float

    @property
    def column(self) -> str:
        """The column of the categories table that holds the same of a run."""
        return "image_rocauc_embedding" if self.metric == "image_rocauc" else self.metric

    @property
    def name(self) -> str:
        """Method and K, as a column is called."""
        if self.k is None or "K=" in self.method:
            return self.method
        return f"{self.method}, K = {self.k}"


@cache
def figures() -> tuple[Figure, ...]:
    """Every published figure, in the order of the sources."""
    with (files("tasks.paper") / "figures.csv").open(encoding="utf-8") as file:
        return tuple(
            Figure(
                row["source"],
                int(row["table"]) if row["table"] else None,
                row["metric"],
                row["category"],
                row["method"],
                int(row["k"]) if row["k"] else None,
                float(row["percent"]) / 100,
            )
            for row in csv.DictReader(file)
        )


def published(category: str) -> list[Figure]:
    """What is published for a category of MVTec AD, or "average" for the mean over all of them."""
    return [figure for figure in figures() if figure.category == category]


def published_settings(figure: Figure) -> dict[str, Any]:
    """With what a figure of SPADE was measured: columns of the runs table, and fields of its layout."""
    campus = _CAMPUS_SETTINGS if figure.category == CAMPUS else {}
    neighbors = {} if figure.k is None else {"k_image": figure.k, "k_gallery": figure.k}
    return {**_SETTINGS[figure.source], **campus, **_VARIANTS.get(figure.method, {}), **neighbors}


def other_settings(figure: Figure, run: Mapping[str, Any]) -> list[str]:
    """Why a figure of SPADE is not comparable with a run, a row of the runs table; empty if it is.

    A run by another method has no settings of SPADE: they are null.
    """
    given = {**_LATER, **json.loads(run.get("layout") or "{}"), **run}
    without = {"k_gallery" if figure.metric == "image_rocauc" else "k_image"}
    found = []
    if given["gallery"] is None:
        without = _OF_SPADE
        found.append(f"the method is {', '.join(run['methods'])}, published with {Spade.name}")
    found += [
        f"{name} is {_text(given[name])}, published with {_text(value)}"
        for name, value in published_settings(figure).items()
        if name not in without and given[name] != value
    ]
    if run["backbone"] == _PAPER["backbone"] and not run["weights_sha256"].startswith(_WIDE_RESNET50_2):
        found.append("the weights are not torchvision's IMAGENET1K_V1")
    return found


def other_images(category: Mapping[str, Any]) -> str | None:
    """How a row of the categories table differs in its images from MVTec AD's category of that name."""
    counts = tuple(category[name] for name in ("train", "test_normal", "test_anomalous"))
    expected = IMAGES[category["category"]]
    return None if counts == expected else f"{_counts(counts)}; MVTec AD has {_counts(expected)}"


def _counts(counts: tuple[int | None, ...]) -> str:
    train, normal, anomalous = counts
    return f"{train} for training, {normal} normal and {anomalous} anomalous to test"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
