"""Metrics of a category by one method, with their intervals: its row of the categories table."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile
from storage.results.metrics import BY_IMAGE, COMPARED, EXCUSED, METRICS, Metric
from storage.store.store import digest
from tasks.core.methods.interface import Method
from tasks.core.metrics.bootstrap import pixel_intervals
from tasks.core.metrics.intervals import Interval, interval_of
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import image_metrics, measure_pixels
from tasks.job import Part, Stage
from tasks.methods.scoring import Scoring
from tasks.progress import LOGGER, report
from tasks.run.masks import true_defects
from tasks.run.samples import sample_level
from tasks.run.saturated import saturated_measures
from tasks.step import step

_METRICS_VERSION = 4
_NO_LABEL = "no test image has a label"

Row = dict[str, Any]


@step
def summarize(scoring: Scoring) -> tuple[Row, dict[str, Row], Stage]:
    """A scored category's row of the categories table, and the metrics of each image by its id.

    Metrics known from an equal run are not computed.
    """
    start, part, method = time.perf_counter(), scoring.part, scoring.method
    test = sorted(part.test_images, key=_label)  # by content: rows of profiles pair whatever files are called
    scores = scoring.scores
    metrics_key = digest([_METRICS_VERSION, [metric.name for metric in METRICS], *map(_label, test)])
    metrics = scores.metrics(metrics_key)
    computed = metrics is None
    if metrics is None:
        pixel_level, profile = _pixel_level(part, test, scores, method)
        metrics = _image_level(test, scores) | sample_level(test, scores) | pixel_level
        if metrics["pixel_images"] == sum(image.mask_reason is None for image in test):
            scores.write_metrics(metrics_key, metrics, None if profile is None else vars(profile))
    by_image = metrics.pop("by_image", {})
    report("summarize", part.category, len(test), len(test))
    row = {
        **_about(part, method),
        "status": "ok",
        **metrics,
        "train": len(part.train),
        "test_normal": sum(image.anomalous is False for image in test),
        "test_anomalous": sum(image.anomalous is True for image in test),
        "unlabelled": len(part.manifest.unlabelled()),
        "without_mask": len(test) - metrics["pixel_images"],
        **{name: scoring.settled.description().get(name) for name in ("k_image", "k_gallery")},
        "metric_resolution": part.job.configuration.metric_resolution,
        "score_key": scoring.key,
        "metrics_key": metrics_key,
    }
    seconds = time.perf_counter() - start
    of_images = {
        image.image_id: {name: values[number] for name, values in by_image.items()}
        for number, image in enumerate(test)
    }
    return row, of_images, scoring.stage("summarize", seconds, len(test) * computed, len(test))


def failure(part: Part, method: Method, reason: str) -> Row:
    """The row of a category that could not be evaluated; what was set aside keeps its own reason."""
    return _about(part, method) | {"status": "failed", "reason": reason}


def _about(part: Part, method: Method) -> Row:
    return {
        "dataset": part.job.dataset.name,
        "category": part.category,
        "method": method.label,
        "set_aside": len(part.manifest.excluded()),
    }


def _image_level(test: Sequence[ImageFile], scores: Scores) -> Row:
    anomalous = np.array([image.anomalous for image in test], bool)
    if not test:
        return {"image_reason": _NO_LABEL}
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        return {"image_reason": f"all test images are {kind}: ranking needs both kinds"}
    records = [scores.read(image.key) for image in test]
    positives, negatives = int(anomalous.sum()), int((~anomalous).sum())
    found: Row = {}
    measured: dict[str, dict[str, float]] = {}
    for metric in METRICS:
        if metric.level != "image" or getattr(records[0], metric.score) is None:
            continue
        values = np.array([getattr(record, metric.score) for record in records])
        if metric.score not in measured:
            measured[metric.score] = image_metrics(values, anomalous)
        found[metric.name] = measured[metric.score][metric.measure]
        if metric.compared and metric.measure == "rocauc" and min(positives, negatives) > 1:
            found |= _ends(metric, interval_of(values, anomalous))
    return found


def _pixel_level(
    part: Part, test: Sequence[ImageFile], scores: Scores, method: Method
) -> tuple[Row, Profile | None]:
    """Pixel metrics over normal images and those with a usable mask, and the profile of these images."""
    if not method.has_map:
        usable = sum(image.mask_reason is None for image in test)
        return {"pixel_images": usable, "map_reason": f"{method.label} scores whole images"}, None
    masks, defects = {}, {}
    for image in test:
        if image.mask_reason is None:
            try:
                masks[image], defects[image] = true_defects(part.job.configuration, part.job.dataset, image)
            except UnreadableImageError as error:
                LOGGER.warning("%s is left out of the pixel metrics: %s", image.image_id, error)
    counted = {"pixel_images": len(masks)}
    if not test:
        return counted | {"pixel_reason": _NO_LABEL}, None
    if not any(mask.any() for mask in masks.values()):
        reason = "no test image has an anomalous pixel in a usable mask within the evaluated area"
        return counted | {"pixel_reason": reason}, None
    if all(mask.all() for mask in masks.values()):
        return counted | {"pixel_reason": "all pixels are anomalous: ranking needs both kinds"}, None
    saturated, reasons = saturated_measures(masks, defects)
    measured = measure_pixels(
        ((scores.anomaly_map(image.key), mask) for image, mask in masks.items()), saturated
    )
    pixel_metrics = [metric for metric in METRICS if metric.level == "pixel"]
    metrics: Row = {metric.name: measured.metrics.get(metric.measure) for metric in pixel_metrics}
    reasons |= measured.reasons
    metrics |= {metric.own_reason: reasons.get(metric.measure) for metric in EXCUSED}
    compared = [
        metric for metric in COMPARED if metric.level == "pixel" and metric.measure in measured.metrics
    ]
    exact = {metric.measure: measured.metrics[metric.measure] for metric in compared}
    intervals = pixel_intervals(exact, measured.profile) or {}
    for metric in compared:
        if metric.measure in intervals:
            metrics |= _ends(metric, intervals[metric.measure])
    by_image = {
        metric.name: _by_image(test, list(masks), measured.by_image[metric.measure])
        for metric in BY_IMAGE
        if metric.measure in measured.by_image
    }
    return counted | metrics | {"by_image": by_image}, measured.profile


def _by_image(
    test: Sequence[ImageFile], measured: Sequence[ImageFile], values: NDArray[np.float64]
) -> list[float | None]:
    """Values of the measured images for each test image; None where there is none."""
    found = dict(zip(measured, values.tolist(), strict=True))
    return [None if math.isnan(value) else value for value in (found.get(image, math.nan) for image in test)]


def _label(image: ImageFile) -> tuple[str, bool, str, str, str, str]:
    """What the metrics depend on: content, label, mask, sample; kind of defect, where metrics are of one."""
    kind = image.defect if image.mask_saturations else ""
    reason, sample = image.mask_reason or "", image.sample or ""
    return image.key, bool(image.anomalous), image.mask_key, reason, sample, kind


def _ends(metric: Metric, interval: Interval) -> dict[str, float]:
    return {metric.low: interval[0], metric.high: interval[1]}
