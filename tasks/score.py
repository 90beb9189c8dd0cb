"""Scores of a category's test images, at image and pixel level."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.datasets import Manifest
from storage.features import Features
from storage.indices import gallery_digest, read_index
from storage.layout import digest
from storage.scores import ImageScore, Scores
from tasks.core.config import Configuration
from tasks.core.matching import Pyramid, match, patch_scores
from tasks.core.metrics import map_score
from tasks.core.pyramid import smooth
from tasks.core.retrieval import embedding_score, nearest
from tasks.job import Job, Stage
from tasks.progress import report

BATCH_SIZE = 8

LoadPyramid = Callable[[str], Pyramid]


@task(cache_policy=NO_CACHE)
def score(job: Job, category: str, excluded: Mapping[str, str]) -> Stage:
    """Append the scores and anomaly maps of test images; a batch that is recorded is not done again."""
    start = time.perf_counter()
    store = job.open_store()
    manifest = job.manifest().of(category).exclude(dict(excluded))
    train = [entry.key for entry in manifest.train()]
    test = list(dict.fromkeys(entry.key for entry in manifest.test()))
    score_key, description = scoring(job, manifest)
    scores = Scores(store, score_key)
    scores.describe(description)
    missing = scores.missing(test)
    done = len(test) - len(missing)
    report("score", category, done, len(test), "found in the store")
    if missing:
        faiss_index = read_index(store, job.feature_key, gallery_digest(train))
        features = Features(store, job.feature_key)
        load = cached_pyramids(features, job.configuration.levels, missing[0], job.memory_gib)
        for first in range(0, len(missing), BATCH_SIZE):
            keys = missing[first : first + BATCH_SIZE]
            squared, positions = nearest(
                faiss_index, features.embeddings(keys), max(_effective(job.configuration, len(train)))
            )
            batch = [
                score_image(job, key, distances, ids, train, load)
                for key, distances, ids in zip(keys, squared, positions, strict=True)
            ]
            scores.append([record for record, _ in batch], np.stack([values for _, values in batch]))
            done += len(keys)
            report("score", category, done, len(test), f"{len(keys)} new")
    return Stage("score", category, time.perf_counter() - start, len(missing), len(test))


def scoring(job: Job, manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The score key of a category, and what it is a digest of: features, training images, settings.

    A K larger than the number of training images counts as that number.
    """
    train = [entry.key for entry in manifest.train()]
    k_image, k_gallery = _effective(job.configuration, len(train))
    description = job.configuration.scoring_description() | {
        "features": job.feature_key,
        "gallery": gallery_digest(train),
        "k_image": k_image,
        "k_gallery": k_gallery,
    }
    return digest(description), description


def _effective(configuration: Configuration, rows: int) -> tuple[int, int]:
    return min(configuration.k_image, rows), min(configuration.k_gallery, rows)


def score_image(
    job: Job,
    key: str,
    squared_distances: NDArray[np.float64],
    positions: NDArray[np.int64],
    train: Sequence[str],
    load: LoadPyramid,
) -> tuple[ImageScore, NDArray[np.float32]]:
    """The record and the anomaly map of one test image, given its neighbours, nearest first."""
    settings = job.configuration
    k_image, k_gallery = _effective(settings, len(train))
    gallery: Iterator[Pyramid] = (load(train[position]) for position in positions[:k_gallery])
    matches = match(
        load(key),
        gallery,
        fusion=settings.fusion,
        upsampling=settings.upsampling,
        kappa=settings.kappa,
        device=job.device,
    )
    distance_maps = [patch_scores(squared, settings.distance) for squared in matches]
    anomaly_map = smooth(distance_maps, settings.metric_resolution, settings.sigma)
    record = ImageScore(
        sha256=key,
        score_embedding=float(embedding_score(squared_distances[None, :k_image])[0]),
        score_map=map_score(anomaly_map),
        neighbors=positions.tolist(),
        squared_distances=squared_distances.tolist(),
    )
    return record, anomaly_map


def cached_pyramids(features: Features, strides: Sequence[int], key: str, memory_gib: float) -> LoadPyramid:
    """Reads pyramids, and keeps the last ones: as many as fit into the memory, each of the size of `key`'s.

    Where all training images of a category fit, each is read and decoded once.
    """
    size = sum(level.nbytes for level in features.pyramid(key, strides))
    kept = max(1, int(memory_gib * 2**30 / size))
    return lru_cache(maxsize=kept)(partial(features.pyramid, strides=strides))
