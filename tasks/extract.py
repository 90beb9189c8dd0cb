"""Features of the images that have none yet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.datasets import Entry, read_image
from storage.features import Features
from storage.images import UnreadableImageError
from tasks.core.backbone import Backbone
from tasks.core.config import Precision
from tasks.core.preprocess import preprocess
from tasks.job import Extraction, Job, Stage
from tasks.progress import report
from tasks.weights import read_state_dict

Loaded = NDArray[np.float32] | str


@task(cache_policy=NO_CACHE)
def extract(job: Job, category: str) -> Extraction:
    """Append the features of a category's images, batch by batch; what is recorded is not done again.

    An image that cannot be read any more is set aside, and the others go on.
    """
    start = time.perf_counter()
    features = Features(job.open_store(), job.feature_key)
    features.describe(job.configuration.feature_description(job.weights_sha256))
    manifest = job.manifest().of(category)
    entries = [*manifest.train(), *manifest.test()]
    by_key = {entry.key: entry for entry in reversed(entries)}
    missing = features.missing([entry.key for entry in entries])
    done = len(by_key) - len(missing)
    report("extract", category, done, len(by_key), "found in the store")
    gone: dict[str, str] = {}
    batches = [missing[first : first + job.batch_size] for first in range(0, len(missing), job.batch_size)]
    with ThreadPoolExecutor(os.cpu_count()) as readers, ThreadPoolExecutor(1) as writer:
        writing: list[tuple[Future[None], int]] = []
        for loaded in _read_ahead(lambda key: _load(job, by_key[key]), batches, readers):
            gone |= {key: image for key, image in loaded.items() if isinstance(image, str)}
            images = {key: image for key, image in loaded.items() if not isinstance(image, str)}
            computed = _compute(job, np.stack(list(images.values()))) if images else None
            done += _written(writing, category, done, len(by_key))
            if computed is not None:
                writing.append((writer.submit(features.append, list(images), *computed), len(images)))
        done += _written(writing, category, done, len(by_key))
    return Extraction(
        Stage("extract", category, time.perf_counter() - start, len(missing) - len(gone), len(by_key)),
        {entry.image_id: gone[entry.key] for entry in entries if entry.key in gone},
    )


def _read_ahead(
    load: Callable[[str], Loaded], batches: Iterable[Sequence[str]], readers: Executor
) -> Iterator[dict[str, Loaded]]:
    """Loaded batches in order; while one is used, the next is being read."""
    ahead: dict[str, Future[Loaded]] = {}
    for batch in (*batches, ()):
        current, ahead = ahead, {key: readers.submit(load, key) for key in batch}
        if current:
            yield {key: future.result() for key, future in current.items()}


def _written(writing: list[tuple[Future[None], int]], category: str, done: int, total: int) -> int:
    """Wait for the batch being written, if there is one, and report it; its length is returned."""
    if not writing:
        return 0
    future, length = writing.pop()
    future.result()
    report("extract", category, done + length, total, f"{length} new")
    return length


def _load(job: Job, entry: Entry) -> Loaded:
    """A preprocessed image, or why there is none."""
    try:
        return preprocess(read_image(job.root, entry), job.configuration.preprocessing)
    except UnreadableImageError as error:
        return str(error)


def _compute(
    job: Job, images: NDArray[np.float32]
) -> tuple[NDArray[np.floating], dict[int, NDArray[np.floating]]]:
    """Embeddings and levels of a batch, as they are stored."""
    settings = job.configuration
    backbone = _backbone(
        settings.backbone, job.weights_file, job.weights_sha256, job.device, settings.precision
    )
    embeddings, levels = backbone(torch.from_numpy(images))
    dtype = np.dtype(settings.dtype)
    with np.errstate(over="ignore"):  # the store refuses what overflowed, and says what to do
        stored = {stride: level.numpy().astype(dtype) for stride, level in levels.items()}
        return embeddings.numpy().astype(dtype), stored


@lru_cache(maxsize=1)
def _backbone(
    name: str,
    weights_file: str,
    weights_sha256: str,  # noqa: ARG001 (other weights in the same file are another network)
    device: str,
    precision: Precision,
) -> Backbone:
    """The network of a job, kept for the next category."""
    return Backbone(name, read_state_dict(Path(weights_file)), device, precision)
