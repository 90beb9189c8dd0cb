"""A run's figures as a public code would compute them, from its stored scores, maps and masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.datasets.dataset import Dataset
from storage.datasets.manifest import ImageFile, Manifest
from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.store import Store
from storage.store.tables import read_table
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.metrics.conventions import mean_distance, stepped_pro
from tasks.core.metrics.ranking import PRO_LIMIT, STRICT_PRO_LIMIT, Ranking, pixel_ranking
from tasks.core.networks.geometry import Frame
from tasks.core.pictures.restore import restore
from tasks.core.settings import listed, suggestion
from tasks.run.masks import aligned, true_mask
from tasks.run.tables import configuration_of

Row = Mapping[str, Any]
Pairs = Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]
_CROP = Frame((256, 256), (16, 16), (224, 224))  # that the reimplementations of SPADE measure on


class NotMeasuredError(ValueError):
    """Why a figure cannot be computed as a convention has it."""


@dataclass(frozen=True)
class Category:
    """One category of a run as one method scored it.

    Attributes:
        row: of the categories table.
        images: the usable test images with a label.
        scores: of these.
        dataset: where the masks lie.
        configuration: of the run.
    """

    row: Row
    images: list[ImageFile]
    scores: Scores
    dataset: Dataset
    configuration: Configuration

    @cached_property
    def anomalous(self) -> NDArray[np.bool_]:
        """Labels (N,) of the images."""
        return np.array([bool(image.anomalous) for image in self.images], bool)

    def rocauc(self, score: Callable[[ImageFile], float]) -> float:
        """ROCAUC of the images by a score."""
        values = np.array([score(image) for image in self.images], np.float64)
        return Ranking.of(values[~self.anomalous], values[self.anomalous]).rocauc()

    def anomaly_map(self, image: ImageFile) -> NDArray[np.float32]:
        """The stored map (R, R) of an image."""
        if reason := self.row["map_reason"]:
            raise NotMeasuredError(reason)
        return self.scores.anomaly_map(image.key)

    def at_size(self, image: ImageFile) -> NDArray[np.float32]:
        """The map at the size of the image (H, W); every pixel of it must have been evaluated."""
        height, width = image.height or 1, image.width or 1
        found = restore(self.anomaly_map(image), self.configuration.preprocessing, height, width)
        if np.isnan(found).any():
            raise NotMeasuredError("whole images are measured, and the run evaluated a crop: --protocol full")
        return found

    def pairs(self, *, at_size: bool = False) -> Pairs:
        """Maps and masks, at metric resolution or at the size of the images; those without a mask are out."""
        for image in self.images:
            if image.mask_reason is not None:
                continue
            mask = true_mask(self.dataset, image)
            if at_size:
                found = self.at_size(image)
                yield found, np.zeros(found.shape, bool) if mask is None else mask
            else:
                yield self.anomaly_map(image), aligned(self.configuration, mask)

    def published(self, metric: str) -> float:
        """The run's own value."""
        if self.row[metric] is None:
            raise NotMeasuredError("the run has none")
        return float(self.row[metric])


@dataclass(frozen=True)
class Convention:
    """How a public code computes metrics.

    Attributes:
        meaning: what it does that is not done here.
        source: whose code it is.
        metrics: what computes each, by its column in the categories table.
    """

    meaning: str
    source: str
    metrics: Mapping[str, Callable[[Category], float]]


def _by_distances(category: Category) -> float:
    if category.row["k_image"] is None:
        raise NotMeasuredError("the method names no nearest training images with their distances")
    return category.rocauc(
        lambda image: mean_distance(
            category.scores.read(image.key).squared_distances[: category.row["k_image"]]
        )
    )


def _on_crop(category: Category) -> float:
    configuration, side = category.configuration, _CROP.size[0]
    if configuration.preprocessing.frame(side, side) != _CROP or configuration.metric_resolution != side:
        raise NotMeasuredError("it is measured on the 224x224 crop: --metric-resolution 224")
    return category.published("pixel_rocauc")


def _at_size(limit: float) -> Callable[[Category], float]:
    return lambda category: pixel_ranking(category.pairs(at_size=True)).pro(limit)


CONVENTIONS: Mapping[str, Convention] = {
    "SPADE-pytorch": Convention(
        "image score: mean of the K distances, not of their squares; pixels: on the 224x224 crop",
        "github.com/byungjae89/SPADE-pytorch",
        {"image_rocauc_embedding": _by_distances, "pixel_rocauc": _on_crop},
    ),
    "SPADE-fast": Convention(
        "pixels: on the 224x224 crop",
        "github.com/any-tech/SPADE-fast",
        {
            "image_rocauc_embedding": lambda category: category.published("image_rocauc_embedding"),
            "pixel_rocauc": _on_crop,
        },
    ),
    "mvtec": Convention(
        "maps and masks at the size of each image; image score: the highest value of that map",
        "evaluation code of MVTec AD, Bergmann and Sattlegger 2021",
        {
            "image_rocauc_map": lambda category: category.rocauc(
                lambda image: float(category.at_size(image).max())
            ),
            "pro": _at_size(PRO_LIMIT),
            "pro_05": _at_size(STRICT_PRO_LIMIT),
        },
    ),
    "rd4ad": Convention(
        "PRO: 200 thresholds evenly from the lowest to the highest score, integrated over false-positive "
        "rates below 0.3, divided by the highest of these",
        "Deng and Li, CVPR 2022, github.com/hq-deng/RD4AD, and code after it",
        {"pro": lambda category: stepped_pro(category.pairs())},
    ),
}


def convention_rows(store: str, run: str, name: str, method: str | None = None) -> list[dict[str, Any]]:
    """Each category of a run by one of its methods: ours and the same by a convention, or why it is missing.

    Raises:
        ConfigurationError: there is no such convention.
        StoreError: no such run or method.
    """
    if name not in CONVENTIONS:
        near = suggestion(name, list(CONVENTIONS))
        raise ConfigurationError(f"convention is {name!r}: {near}it is one of {listed(list(CONVENTIONS))}")
    results = Results(store)
    record = results.rows("run", run)[0]
    label = results.method(record["run"], method)
    rows = []
    for category in categories_of(store, record, label):
        for metric, (value, reason) in measured(category, name).items():
            about = {"category": category.row["category"], "method": label, "metric": metric}
            ours = category.row[metric]
            rows.append({**about, "ours": ours, "by_convention": value, "convention": name, "reason": reason})
    return rows


def categories_of(store: str, record: Row, label: str) -> Iterator[Category]:
    """The categories of a run that a method scored."""
    results, opened = Results(store), Store.open(store)
    manifest = Manifest.from_table(read_table(opened.run_table(record["run"], "manifest")))
    for row in results.rows("categories", record["run"], label):
        if row["status"] == "ok":
            yield Category(
                row,
                manifest.of(row["category"]).test(),
                Scores(opened, row["score_key"]),
                Dataset.of_run(record),
                configuration_of(record),
            )


def measured(category: Category, name: str) -> dict[str, tuple[float | None, str | None]]:
    """The metrics of a convention on a category: a value, or why there is none."""
    found: dict[str, tuple[float | None, str | None]] = {}
    for metric, measure in CONVENTIONS[name].metrics.items():
        try:
            found[metric] = measure(category), None
        except (StoreError, ValueError) as error:
            found[metric] = None, str(error)
        except KeyError:
            found[metric] = None, "the scores are no longer in the store: evaluate the dataset again"
    return found
