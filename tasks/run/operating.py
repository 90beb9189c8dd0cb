"""A category by one method at the false-positive rate that was named: what it costs, and what is found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile
from storage.results.schemas import THRESHOLD_RULES
from tasks.core.metrics.operating import Segmentation, attainable, binomial_interval
from tasks.core.pictures.regions import find_regions
from tasks.core.pictures.restore import restore
from tasks.job import Part, Stage
from tasks.methods.scoring import Scoring
from tasks.methods.thresholds import Rule, Threshold, threshold
from tasks.progress import LOGGER, report
from tasks.run.masks import aligned, true_mask
from tasks.step import step

Row = dict[str, Any]
RULES: tuple[Rule, ...] = ("pixel", "map", "embedding")  # the dearest first: others come with its maps


@dataclass(frozen=True)
class Operation:
    """What a threshold makes of the images of a category.

    Attributes:
        tables: rows by the name of their table.
        images: what is said of each image, by its id.
    """

    tables: dict[str, list[Row]] = field(default_factory=dict)
    images: dict[str, Row] = field(default_factory=dict)


def rules_of(scoring: Scoring) -> tuple[Rule, ...]:
    """The scores that the method has."""
    return RULES if scoring.method.has_map else RULES[-1:]


@step
def operate(scoring: Scoring) -> tuple[Operation, Stage]:
    """Fix the thresholds by normal images, and apply them to all scored ones.

    Maps are read once. Images to validate have a verdict, and no part in what is counted; nor have those
    without a label.
    """
    start, part = time.perf_counter(), scoring.part
    rate = part.job.configuration.fpr
    rules = rules_of(scoring)
    limits = {rule: threshold(scoring, rule, rate) for rule in rules}
    images = [image for image in part.manifest.scored() if image.key in scoring.scores]
    of_images = _by_image(scoring, images, limits)
    about = {"dataset": part.job.dataset.name, "category": part.category, "method": scoring.method.label}
    measured = _Measured.of(scoring, images, limits, of_images, about)
    test = part.test_images
    tables: dict[str, list[Row]] = {"operating": [], "misses": [], "operating_curve": []}
    for rule in reversed(rules):
        values = {image: of_images[image.image_id][THRESHOLD_RULES[rule]] for image in test}
        of_rule = about | {"rule": rule}
        found = cost(limits[rule], values)
        if rule == "pixel":
            found |= measured.at(0)
        tables["operating"].append(of_rule | _described(limits[rule]) | found)
        tables["misses"] += [of_rule | row for row in _misses(limits[rule], values)]
        tables["operating_curve"] += [
            of_rule | row for row in _curve(limits[rule], values, measured if rule == "pixel" else None)
        ]
    tables["regions"] = measured.regions
    verdicts = {
        image.image_id: {
            name: value for name, value in of_images[image.image_id].items() if not name.startswith("score_")
        }
        for image in images
    }
    seconds = time.perf_counter() - start
    return Operation(tables, verdicts), scoring.stage("operate", seconds, len(images), len(images))


def _by_image(
    scoring: Scoring, images: Sequence[ImageFile], limits: Mapping[Rule, Threshold]
) -> dict[str, Row]:
    """Scores by rule of each image, and whether they exceed their thresholds; the peak is not known yet."""
    found: dict[str, Row] = {}
    for image in images:
        record = scoring.scores.read(image.key)
        row: Row = {"score_embedding": record.score_embedding, "score_map": record.score_map}
        row |= {
            f"flagged_{rule}": row[THRESHOLD_RULES[rule]] > limit.value
            for rule, limit in limits.items()
            if rule != "pixel" and limit.value is not None
        }
        found[image.image_id] = row
    return found


@dataclass(frozen=True)
class _Measured:
    """What is measured on maps: pixels at the thresholds of the curve, the named one first; and regions."""

    thresholds: NDArray[np.float64]
    places: list[int]
    segmentation: Segmentation
    regions: list[Row]

    @classmethod
    def of(
        cls,
        scoring: Scoring,
        images: Sequence[ImageFile],
        limits: Mapping[Rule, Threshold],
        of_images: Mapping[str, Row],
        about: Row,
    ) -> _Measured:
        """Read each map once; the peaks go to `of_images`."""
        limit = limits.get("pixel")
        if limit is None:
            return cls(np.zeros(0), [], Segmentation.none(0), [])
        values = [] if limit.value is None else [limit.value, *(each for _, each in attainable(limit.scores))]
        thresholds, places = np.unique(np.array(values, dtype=np.float64), return_inverse=True)
        total, regions = Segmentation.none(len(thresholds)), list[Row]()
        for done, image in enumerate(images, start=1):
            anomaly_map = scoring.scores.anomaly_map(image.key)
            row = of_images[image.image_id]
            row["peak"] = float(anomaly_map.max())
            if limit.value is not None:
                row["flagged_pixel"] = row["peak"] > limit.value
                mask, usable = _mask(scoring.part, image)
                if usable and image.split == "test":
                    total += Segmentation.of(
                        anomaly_map, aligned(scoring.part.job.configuration, mask), thresholds
                    )
                if row["flagged_pixel"]:
                    found = _regions(scoring.part, image, anomaly_map, limit.value, mask)
                    regions += [about | each for each in found]
            report("operate", scoring.part.category, done, len(images))
        return cls(thresholds, places.tolist(), total, regions)

    def at(self, number: int) -> Row:
        """What the pixels give at a threshold: 0 for the named one, then those of the curve."""
        if not self.places:
            return {}
        place = self.places[number]
        return {
            "seg_f1": self.segmentation.f1(place),
            "pixel_false_positive_rate": self.segmentation.false_positive_rate(place),
        }


def _mask(part: Part, image: ImageFile) -> tuple[NDArray[np.bool_] | None, bool]:
    """The true mask (H, W), None of a normal image or where there is none; and whether it can be used."""
    if image.mask_reason is not None or image.anomalous is None:
        return None, False
    try:
        return true_mask(part.job.dataset, image), True
    except UnreadableImageError as error:
        LOGGER.warning("%s has no true mask any more: %s", image.image_id, error)
        return None, False


def _regions(
    part: Part,
    image: ImageFile,
    anomaly_map: NDArray[np.float32],
    limit: float,
    mask: NDArray[np.bool_] | None,
) -> list[Row]:
    height, width = image.height or 0, image.width or 0
    heat = restore(anomaly_map, part.job.configuration.preprocessing, height, width)
    rows = []
    for number, (region, inside) in enumerate(zip(*find_regions(heat, limit), strict=True), start=1):
        box = (
            slice(region.top, region.top + region.height),
            slice(region.left, region.left + region.width),
        )
        rows.append(
            {
                "image_id": image.image_id,
                "region": number,
                "defect": image.defect,
                "image_width": width,
                "image_height": height,
                "threshold": limit,
                **asdict(region),
                "true_share": None if mask is None else float(mask[box][inside].mean()),
            }
        )
    return rows


def _described(limit: Threshold) -> Row:
    return {
        "fpr": limit.rate,
        "threshold": limit.value,
        "threshold_images": limit.images,
        "threshold_source": limit.source,
        "reason": limit.reason,
    }


def cost(limit: Threshold, values: Mapping[ImageFile, float]) -> Row:
    """False alarms and misses at a threshold, of images with these scores."""
    normal, anomalous = by_label(values)
    counts: Row = {"normal": len(normal), "anomalous": len(anomalous)}
    if limit.value is None:
        return counts
    alarms = int(np.sum(normal > limit.value))
    missed = int(np.sum(anomalous <= limit.value))
    return (
        counts
        | _share("false_alarms", "false_alarm_rate", alarms, len(normal))
        | _share("missed", "miss_rate", missed, len(anomalous))
    )


def by_label(values: Mapping[ImageFile, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of the normal and of the anomalous images."""
    normal, anomalous = (
        np.array([value for image, value in values.items() if image.anomalous is label], np.float64)
        for label in (False, True)
    )
    return normal, anomalous


def _misses(limit: Threshold, values: Mapping[ImageFile, float]) -> list[Row]:
    """What is missed of each kind of defect."""
    if limit.value is None:
        return []
    kinds: dict[str, list[float]] = {}
    for image, value in values.items():
        if image.anomalous:
            kinds.setdefault(image.defect, []).append(value)
    return [
        {"defect": kind, "images": len(found)}
        | _share("missed", "miss_rate", sum(value <= limit.value for value in found), len(found))
        for kind, found in sorted(kinds.items())
    ]


def _share(count_name: str, rate_name: str, count: int, total: int) -> Row:
    low, high = binomial_interval(count, total) or (None, None)
    return {
        count_name: count,
        rate_name: count / total if total else None,
        f"{rate_name}_low": low,
        f"{rate_name}_high": high,
    }


def _curve(limit: Threshold, values: Mapping[ImageFile, float], measured: _Measured | None) -> list[Row]:
    """What each rate that the same normal images can give would cost."""
    if limit.value is None:
        return []
    normal, anomalous = by_label(values)
    return [
        {
            "fpr": rate,
            "threshold": value,
            "false_alarm_rate": float(np.mean(normal > value)) if len(normal) else None,
            "miss_rate": float(np.mean(anomalous <= value)) if len(anomalous) else None,
            **({} if measured is None else measured.at(number)),
        }
        for number, (rate, value) in enumerate(attainable(limit.scores), start=1)
    ]
