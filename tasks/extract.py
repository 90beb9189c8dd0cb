"""Features of the images that have none yet."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from tasks.core.preprocess import preprocess
from tasks.job import Extraction, Job, Stage
from tasks.progress import report
from tasks.weights import read_state_dict


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
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(missing), job.batch_size):
            keys = missing[first : first + job.batch_size]
            loaded = dict(zip(keys, pool.map(lambda key: _load(job, by_key[key]), keys), strict=True))
            gone |= {key: image for key, image in loaded.items() if isinstance(image, str)}
            images = {key: image for key, image in loaded.items() if not isinstance(image, str)}
            if images:
                _append(job, features, list(images), np.stack(list(images.values())))
            done += len(keys)
            report("extract", category, done, len(by_key), f"{len(images)} new")
    return Extraction(
        Stage("extract", category, time.perf_counter() - start, len(missing) - len(gone), len(by_key)),
        {entry.image_id: gone[entry.key] for entry in entries if entry.key in gone},
    )


def _load(job: Job, entry: Entry) -> NDArray[np.float32] | str:
    """A preprocessed image, or why there is none."""
    try:
        return preprocess(read_image(job.root, entry), job.configuration.preprocessing)
    except UnreadableImageError as error:
        return str(error)


def _append(job: Job, features: Features, keys: Sequence[str], images: NDArray[np.float32]) -> None:
    backbone = _backbone(job.configuration.backbone, job.weights_file, job.weights_sha256, job.device)
    embeddings, levels = backbone(torch.from_numpy(images))
    dtype = np.dtype(job.configuration.dtype)
    with np.errstate(over="ignore"):  # the store refuses what overflowed, and says what to do
        stored = {stride: level.numpy().astype(dtype) for stride, level in levels.items()}
        features.append(keys, embeddings.numpy().astype(dtype), stored)


@lru_cache(maxsize=1)
def _backbone(name: str, weights_file: str, weights_sha256: str, device: str) -> Backbone:  # noqa: ARG001
    """The network of a job, kept for the next category while its weights stay the same."""
    return Backbone(name, read_state_dict(Path(weights_file)), device)
