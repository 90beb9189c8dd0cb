"""Metrics of a category, and the tables of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.datasets import OK, Entry, Manifest, read_mask
from storage.errors import StoreError
from storage.images import UnreadableImageError
from storage.layout import digest
from storage.results import publish as publish_tables
from storage.results import published_fingerprint
from storage.schemas import AVERAGED, CATEGORIES, IMAGES, NEIGHBORS, RUN, SCORE_RULES, STAGES, SUMMARY
from storage.scores import Scores
from storage.tables import table_of
from tasks.core.metrics import image_metrics, pixel_metrics
from tasks.core.preprocess import align_mask
from tasks.ingest import fingerprint
from tasks.job import Job, Outcome, Stage
from tasks.progress import LOGGER, report
from tasks.provenance import git_commit, peak_memory_mib, versions
from tasks.score import scoring

_METRICS_VERSION = 1


@task(cache_policy=NO_CACHE)
def summarize(job: Job, category: str, excluded: Mapping[str, str], stages: Sequence[Stage]) -> Outcome:
    """A scored category's row of the categories table; metrics known from an equal run are not computed."""
    start = time.perf_counter()
    manifest = job.manifest().of(category).exclude(dict(excluded))
    test = manifest.test()
    score_key, description = scoring(job, manifest)
    scores = Scores(job.open_store(), score_key)
    labels = digest(
        [
            _METRICS_VERSION,
            *([entry.key, entry.anomalous, entry.mask_sha256, entry.mask_reason] for entry in test),
        ]
    )
    metrics = scores.metrics(labels)
    computed = metrics is None
    if metrics is None:
        metrics = _image_level(test, scores) | _pixel_level(job, test, scores)
        if metrics["pixel_images"] == sum(entry.mask_reason is None for entry in test):
            scores.write_metrics(labels, metrics)
    report("summarize", category, len(test), len(test))
    row = {
        "dataset": job.dataset,
        "category": category,
        "status": "ok",
        **metrics,
        "train": len(manifest.train()),
        "test_normal": sum(not entry.anomalous for entry in test),
        "test_anomalous": sum(entry.anomalous for entry in test),
        "without_mask": len(test) - metrics["pixel_images"],
        "set_aside": len(manifest.excluded()),
        **{name: description[name] for name in ("k_image", "k_gallery", "metric_resolution")},
        "score_key": score_key,
    }
    stage = Stage("summarize", category, time.perf_counter() - start, len(test) * computed, len(test))
    return Outcome(category, row, excluded=dict(excluded), stages=[*stages, stage])


def failure(job: Job, category: str, reason: str) -> Outcome:
    """The row of a category that could not be evaluated."""
    row: dict[str, object] = {
        "dataset": job.dataset,
        "category": category,
        "status": "failed",
        "reason": reason,
        "set_aside": len(job.manifest().of(category).excluded()),
    }
    return Outcome(category, row, reason)


def is_published(job: Job) -> bool:
    """Whether this very run is complete already.

    Raises:
        StoreError: its id belongs to a run of another configuration or of other data.
    """
    store = job.open_store()
    known = published_fingerprint(store, job.run_id)
    if known is None:
        return False
    found, status = known
    if found != fingerprint(job, job.manifest()):
        raise StoreError(
            f"run {job.run_id} in {store.root} has another configuration or other data: name another --run-id"
        )
    if status == "complete":
        store.remove([store.job(job.run_id)])
    return status == "complete"


@task(cache_policy=NO_CACHE)
def publish(job: Job, outcomes: Sequence[Outcome], ingested: Stage) -> None:
    """Write the run's tables, and last the record that makes them visible."""
    store = job.open_store()
    reasons = {name: reason for outcome in outcomes for name, reason in outcome.excluded.items()}
    manifest = job.manifest().exclude(reasons)
    rows = [outcome.row for outcome in outcomes]
    keys = {outcome.category: str(outcome.row["score_key"]) for outcome in outcomes if outcome.reason is None}
    scored = {category: Scores(store, key) for category, key in keys.items()}
    tables = {
        "manifest": manifest.table(),
        "categories": table_of(rows, CATEGORIES),
        "summary": table_of(_summary(rows), SUMMARY),
        "images": table_of(_images(manifest, scored, keys), IMAGES),
        "neighbors": table_of(_neighbors(manifest, scored), NEIGHBORS),
        "stages": table_of(
            (asdict(stage) for stage in [ingested, *(s for outcome in outcomes for s in outcome.stages)]),
            STAGES,
        ),
    }
    failed = len(rows) - len(keys)
    started, finished = datetime.fromisoformat(job.started), datetime.now(UTC)
    settings = job.configuration.description()
    record = {name: settings[name] for name in settings.keys() & set(RUN.names)} | {
        "status": "partial" if failed else "complete",
        "started": started,
        "finished": finished,
        "seconds": (finished - started).total_seconds(),
        "dataset": job.dataset,
        "root": job.root,
        "categories": len(rows),
        "failed": failed,
        "images": len(manifest.entries) - len(manifest.excluded()),
        "set_aside": len(manifest.excluded()),
        "device": job.device,
        "batch_size": job.batch_size,
        "weights_sha256": job.weights_sha256,
        "feature_key": job.feature_key,
        "data_digest": job.manifest().digest(),
        "fingerprint": fingerprint(job, job.manifest()),
        "peak_memory_mib": peak_memory_mib(),
        "git_commit": git_commit(),
        "versions": versions(),
    }
    publish_tables(store, job.run_id, table_of([record], RUN), tables)
    store.remove([store.job(job.run_id)])


def _image_level(test: Sequence[Entry], scores: Scores) -> dict[str, Any]:
    anomalous = np.array([entry.anomalous for entry in test])
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        return {"image_reason": f"all test images are {kind}: ranking needs both kinds"}
    records = [scores.read(entry.key) for entry in test]
    found: dict[str, Any] = {}
    for rule in SCORE_RULES:
        values = np.array([getattr(record, f"score_{rule}") for record in records])
        found |= {f"image_{name}_{rule}": value for name, value in image_metrics(values, anomalous).items()}
    return found


def _pixel_level(job: Job, test: Sequence[Entry], scores: Scores) -> dict[str, Any]:
    """Pixel metrics over normal images and those with a usable mask."""
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
        return counted | {"pixel_reason": reason}
    if all(mask.all() for mask in masks.values()):
        return counted | {"pixel_reason": "all pixels are anomalous: ranking needs both kinds"}
    found = pixel_metrics((scores.anomaly_map(entry.key), mask) for entry, mask in masks.items())
    return counted | {name if name == "pro" else f"pixel_{name}": value for name, value in found.items()}


def _aligned_mask(job: Job, entry: Entry) -> NDArray[np.bool_]:
    resolution = job.configuration.metric_resolution
    if entry.mask is None:
        return np.zeros((resolution, resolution), dtype=bool)
    return align_mask(read_mask(job.root, entry), job.configuration.preprocessing, resolution)


def _summary(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    summary = []
    for metric in AVERAGED:
        values = {str(row["category"]): row[metric] for row in rows if row.get(metric) is not None}
        lowest = min(values, key=lambda category: values[category], default=None)
        summary.append(
            {
                "metric": metric,
                "mean": float(np.mean(list(values.values()))) if values else None,
                "lowest": None if lowest is None else values[lowest],
                "lowest_category": lowest,
                "categories": len(values),
                "categories_without": len(rows) - len(values),
            }
        )
    return summary


def _images(
    manifest: Manifest, scored: Mapping[str, Scores], keys: Mapping[str, str]
) -> list[dict[str, Any]]:
    rows = []
    for entry in manifest.entries:
        if entry.split != "test":
            continue
        row = {name: value for name, value in asdict(entry).items() if name in IMAGES.names}
        if entry.status == OK and entry.category in scored:
            record = scored[entry.category].read(entry.key)
            row |= {f"score_{rule}": getattr(record, f"score_{rule}") for rule in SCORE_RULES}
            row["score_key"] = keys[entry.category]
        elif entry.status == OK:
            row |= {"status": "not scored", "reason": "its category failed"}
        rows.append(row)
    return rows


def _neighbors(manifest: Manifest, scored: Mapping[str, Scores]) -> list[dict[str, Any]]:
    rows = []
    for category, scores in scored.items():
        part = manifest.of(category)
        train = part.train()
        for entry in part.test():
            record = scores.read(entry.key)
            pairs = zip(record.neighbors, record.squared_distances, strict=True)
            for rank, (position, distance) in enumerate(pairs, start=1):
                rows.append(
                    {
                        "category": category,
                        "image_id": entry.image_id,
                        "rank": rank,
                        "neighbor_id": train[position].image_id,
                        "squared_distance": distance,
                    }
                )
    return rows
