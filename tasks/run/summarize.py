"""Metrics of a category by one method, with their intervals: its row of the categories table."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.indices import index_name, index_recall
from storage.computed.scores import Scores
from storage.datasets.dataset import ImageFile, Manifest, read_mask
from storage.datasets.images import UnreadableImageError
from storage.results.schemas import SCORE_RULES, SPADE
from storage.store.store import digest
from tasks.core.metrics.intervals import Interval, delong, pixel_intervals, rocauc_interval
from tasks.core.metrics.profile import Profile
from tasks.core.metrics.ranking import image_metrics, profiled_pixel_metrics
from tasks.core.networks.preprocess import align_mask
from tasks.job import Job, Outcome, Stage
from tasks.methods.by_name import method_scoring
from tasks.progress import LOGGER, report
from tasks.step import step

_METRICS_VERSION = 2


@step
def summarize(
    job: Job, category: str, excluded: Mapping[str, str], stages: Sequence[Stage], method: str = SPADE
) -> Outcome:
    """A scored category's row of the categories table; metrics known from an equal run are not computed."""
    start = time.perf_counter()
    manifest = job.manifest().of(category).exclude(dict(excluded))
    test = sorted(manifest.test(), key=_label)  # by content: rows of profiles pair whatever files are called
    score_key, description = method_scoring(job, manifest, method)
    scores = Scores(job.open_store(), score_key)
    metrics_key = digest([_METRICS_VERSION, *map(_label, test)])
    metrics = scores.metrics(metrics_key)
    computed = metrics is None
    if metrics is None:
        pixel_level, profile = _pixel_level(job, test, scores, method)
        metrics = _image_level(test, scores) | pixel_level
        if metrics["pixel_images"] == sum(entry.mask_reason is None for entry in test):
            scores.write_metrics(metrics_key, metrics, None if profile is None else vars(profile))
    report("summarize", category, len(test), len(test))
    row = {
        "dataset": job.dataset.name,
        "category": category,
        "method": method,
        "status": "ok",
        **metrics,
        "train": len(manifest.train()),
        "test_normal": sum(not entry.anomalous for entry in test),
        "test_anomalous": sum(entry.anomalous for entry in test),
        "without_mask": len(test) - metrics["pixel_images"],
        "set_aside": len(manifest.excluded()),
        **{name: description.get(name) for name in ("k_image", "k_gallery", "metric_resolution")},
        **(_index(job, manifest) if method == SPADE else {}),
        "score_key": score_key,
        "metrics_key": metrics_key,
    }
    stage = Stage(
        "summarize", category, time.perf_counter() - start, len(test) * computed, len(test), method=method
    )
    return Outcome(category, [row], excluded=dict(excluded), stages=[*stages, stage])


def _index(job: Job, manifest: Manifest) -> dict[str, Any]:
    train = [entry.key for entry in manifest.train()]
    kind = job.configuration.index_for(len(train))
    return {
        "index": kind,
        "index_recall": index_recall(job.open_store(), job.feature_key, index_name(train, kind)),
    }


def failure(
    job: Job, category: str, reason: str, excluded: Mapping[str, str], methods: Sequence[str] = (SPADE,)
) -> Outcome:
    """The rows of a category that could not be evaluated; what was set aside keeps its own reason."""
    row: dict[str, object] = {
        "dataset": job.dataset.name,
        "category": category,
        "status": "failed",
        "reason": reason,
        "set_aside": len(job.manifest().of(category).exclude(dict(excluded)).excluded()),
    }
    return Outcome(category, [row | {"method": method} for method in methods], reason, dict(excluded))


def _image_level(test: Sequence[ImageFile], scores: Scores) -> dict[str, Any]:
    anomalous = np.array([entry.anomalous for entry in test])
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        return {"image_reason": f"all test images are {kind}: ranking needs both kinds"}
    records = [scores.read(entry.key) for entry in test]
    positives, negatives = int(anomalous.sum()), int((~anomalous).sum())
    found: dict[str, Any] = {}
    for rule in SCORE_RULES if records[0].score_map is not None else SCORE_RULES[:1]:
        values = np.array([getattr(record, f"score_{rule}") for record in records])
        found |= {f"image_{name}_{rule}": value for name, value in image_metrics(values, anomalous).items()}
        if min(positives, negatives) > 1:
            areas, covariance = delong(values[None], anomalous)
            interval = rocauc_interval(float(areas[0]), float(covariance[0, 0]), positives, negatives)
            found |= _ends(f"image_rocauc_{rule}", interval)
    return found


def _pixel_level(
    job: Job, test: Sequence[ImageFile], scores: Scores, method: str
) -> tuple[dict[str, Any], Profile | None]:
    """Pixel metrics over normal images and those with a usable mask, and the profile of these images."""
    if scores.read(test[0].key).score_map is None:
        usable = sum(entry.mask_reason is None for entry in test)
        return {"pixel_images": usable, "pixel_reason": f"{method} scores whole images"}, None
    masks = {}
    for entry in test:
        if entry.mask_reason is None:
            try:
                masks[entry] = _aligned_mask(job, entry)
            except UnreadableImageError as error:
                LOGGER.warning("%s is left out of the pixel metrics: %s", entry.image_id, error)
    counted = {"pixel_images": len(masks)}
    if not any(mask.any() for mask in masks.values()):
        reason = "no test image has an anomalous pixel in a usable mask within the evaluated area"
        return counted | {"pixel_reason": reason}, None
    if all(mask.all() for mask in masks.values()):
        return counted | {"pixel_reason": "all pixels are anomalous: ranking needs both kinds"}, None
    found, profile = profiled_pixel_metrics(
        (scores.anomaly_map(entry.key), mask) for entry, mask in masks.items()
    )
    intervals = pixel_intervals({name: found[name] for name in ("rocauc", "pro")}, profile) or {}
    metrics = {name if name == "pro" else f"pixel_{name}": value for name, value in found.items()}
    for name, interval in intervals.items():
        metrics |= _ends(name if name == "pro" else f"pixel_{name}", interval)
    return counted | metrics, profile


def _label(entry: ImageFile) -> tuple[str, bool, str, str]:
    """What the metrics depend on: content, label, mask."""
    return entry.key, entry.anomalous, entry.mask_sha256 or "", entry.mask_reason or ""


def _ends(metric: str, interval: Interval) -> dict[str, float]:
    return {f"{metric}_low": interval[0], f"{metric}_high": interval[1]}


def _aligned_mask(job: Job, entry: ImageFile) -> NDArray[np.bool_]:
    resolution = job.configuration.metric_resolution
    if entry.mask is None:
        return np.zeros((resolution, resolution), dtype=bool)
    return align_mask(read_mask(job.dataset, entry), job.configuration.preprocessing, resolution)
