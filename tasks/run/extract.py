"""Features of the images that have none yet."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from storage.computed.features import Features
from storage.computed.looks import Look, Looks
from storage.datasets.dataset import read_image
from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile
from storage.errors import DatasetError
from tasks.core.batches import batches
from tasks.core.config import Configuration
from tasks.core.memory import release
from tasks.core.metrics.drift import look
from tasks.core.networks import tiles
from tasks.core.networks.backbone import Backbone
from tasks.core.networks.geometry import Size
from tasks.core.networks.preprocess import normalised, preprocess
from tasks.core.networks.traits import Level
from tasks.job import Job, Part, Stage
from tasks.network import network_of
from tasks.progress import report
from tasks.run.crops import CROPS
from tasks.step import step

_MAX_WORKERS = 8  # each holds a batch in memory


@step
def extract(part: Part) -> tuple[Stage, Part]:
    """Append the features of a category's images, batch by batch; what is recorded is not done again.

    An image that cannot be read any more is set aside in the part that is returned, and the others go on.
    """
    stage, reasons = append_features(part)
    return stage, part.without(reasons)


def append_features(part: Part) -> tuple[Stage, dict[str, str]]:
    """Append the features that are missing; why images have none, by their ids."""
    start = time.perf_counter()
    job, category, features = part.job, part.category, part.features
    _check_sizes(part)
    features.describe(job.configuration.feature_description(job.weights_sha256))
    entries = part.manifest.used()
    by_key = {entry.key: entry for entry in reversed(entries)}
    missing = features.missing([entry.key for entry in entries])
    done = len(by_key) - len(missing)
    report("extract", category, done, len(by_key), "found in the store")
    gone: dict[str, str] = {}
    looks: dict[str, Look] = {}
    if missing:
        _backbone(job)  # once, before threads ask for it
    tiled = job.configuration.tile is not None  # of one image alone there may be more than memory holds twice
    size = 1 if tiled else job.batch_size
    with _workers(1 if tiled else _MAX_WORKERS) as pool:
        work = [
            pool.submit(_append, job, features, [by_key[key] for key in keys])
            for keys in batches(missing, size)
        ]
        for future in as_completed(work):
            length, unread, seen = future.result()
            gone |= unread
            looks |= seen
            done += length
            report("extract", category, done, len(by_key), f"{length} new")
    known = Looks(part.store)
    if new := set(known.missing(list(looks))):
        known.append({key: each for key, each in looks.items() if key in new})
    reasons = {entry.image_id: gone[entry.key] for entry in entries if entry.key in gone}
    extracted = len(missing) - len(gone)
    return Stage("extract", category, time.perf_counter() - start, extracted, len(by_key)), reasons


@contextmanager
def _workers(limit: int) -> Iterator[Executor]:
    """Threads, at most `limit`, that take a batch each from file to store, so that no core waits for another.

    Their products share the cores. After an error what has not begun is not begun.
    """
    threads = torch.get_num_threads()
    count = min(threads, limit)
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads // count,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
        release()


def _append(
    job: Job, features: Features, entries: Sequence[ImageFile]
) -> tuple[int, dict[str, str], dict[str, Look]]:
    """Put the features of a batch into the store: how many; by key why an image has none, and its look."""
    loaded = {entry.key: _load(job, entry) for entry in entries}
    images = {key: image for key, image in loaded.items() if not isinstance(image, str)}
    if images:
        with np.errstate(over="ignore"):  # the store refuses what overflowed, and says what to do
            features.append(list(images), *features_of(job, [values for values, _ in images.values()]))
    reasons = {key: reason for key, reason in loaded.items() if isinstance(reason, str)}
    return len(images), reasons, {key: seen for key, (_, seen) in images.items()}


def features_of(
    job: Job, inputs: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[Any], dict[Level, NDArray[Any]]]:
    """Embeddings (B, D) and levels (B, H, W, C) of preprocessed images (3, H', W'), as they are stored."""
    settings = job.configuration
    return tiles.features(
        _backbone(job),
        inputs,
        settings.preprocessing,
        settings.grids,
        batch_size=job.batch_size,
        dtype=np.dtype(settings.dtype),
    )


def _check_sizes(part: Part) -> None:
    """Raise DatasetError if images become inputs of several sizes, whose grids cannot be compared."""
    how, seen = part.job.configuration.preprocessing, dict[Size, str]()
    for entry in part.manifest.used():
        seen.setdefault(how.frame(entry.height or 1, entry.width or 1).size, entry.image_id)
    if len(seen) > 1:
        (one, first), (other, second), *_ = seen.items()
        raise DatasetError(
            f"{first} becomes an input of {one[0]}x{one[1]} pixels, {second} one of {other[0]}x{other[1]}: "
            "name one size with --crop, or stretch them"
        )


def _load(job: Job, entry: ImageFile) -> tuple[NDArray[np.float32], Look] | str:
    """A preprocessed image and its look, or why there is none; it is read unless `ingest` set it by."""
    how = job.configuration.preprocessing
    if (kept := CROPS.take((entry.key, how))) is not None:
        crop, seen = kept
        return normalised(crop, how), seen
    try:
        image = read_image(job.dataset, entry)
        return preprocess(image, how), look(image)
    except UnreadableImageError as error:
        return str(error)


def _backbone(job: Job) -> Backbone:
    return _loaded(job.configuration, job.weights_file, job.weights_sha256, job.device)


@lru_cache(maxsize=1)
def _loaded(
    settings: Configuration,
    weights_file: str,
    weights_sha256: str,  # noqa: ARG001 (other weights in the same file are another network)
    device: str,
) -> Backbone:
    """The network of a job, kept for the next category."""
    return network_of(settings, Path(weights_file), device)
