"""Scores of a category's test images, at image and pixel level."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from storage.computed.features import Features
from storage.computed.indices import gallery_digest, index_name, read_index
from storage.computed.scores import ImageScore, Scores
from storage.datasets.dataset import Manifest
from storage.results.schemas import SPADE
from storage.store.store import digest
from tasks.core.config import Configuration
from tasks.core.matching.matching import Matching, Pyramid, match_each, patch_scores
from tasks.core.matching.pyramid import smooth
from tasks.core.matching.retrieval import embedding_score, nearest, random_order
from tasks.core.metrics.ranking import map_score
from tasks.job import Job, Stage
from tasks.methods.reuse import TRAIN, Alike, EarlierScores
from tasks.progress import report
from tasks.step import step

BATCH_SIZE = 8


@dataclass(frozen=True)
class Pyramids:
    """Reads the pyramid of an image by its key: the levels at `strides`, finest first."""

    strides: tuple[int, ...]
    read: Callable[[str], Pyramid]


@dataclass(frozen=True)
class _Point:
    """Settings under which some test images have no scores yet; K counts at most the training images."""

    settings: Configuration
    scores: Scores
    missing: frozenset[str]


@step
def score(job: Job, category: str, excluded: Mapping[str, str]) -> Stage:
    """Append the scores and anomaly maps of test images; a batch that is recorded is not done again."""
    return score_together([job], job.manifest().of(category).exclude(dict(excluded)))[0]


def score_together(jobs: Sequence[Job], manifest: Manifest) -> list[Stage]:
    """Score a category's test images for jobs that differ in nothing but the settings of scoring.

    What their settings have in common is done once: an image's gallery is read once an order, and each search
    serves every K and kappa. The scores are those of each job on its own, and are recorded as such, batch by
    batch. The stage of a job counts what it found missing, and has an equal share of the time.
    """
    start = time.perf_counter()
    job, store = jobs[0], jobs[0].open_store()
    (category,) = manifest.categories()
    train = [entry.key for entry in manifest.train()]
    test = list(dict.fromkeys(entry.key for entry in manifest.test()))
    points: dict[str, _Point] = {}
    computed = []
    earlier = EarlierScores(store)
    for each in jobs:
        score_key, description = scoring(each, manifest)
        known = score_key in points
        if not known:
            scores = Scores(store, score_key)
            scores.describe(description | {TRAIN: train})
            settings = _effective(each.configuration, len(train))
            _adopt(each, earlier.alike(description), scores, settings, train, test)
            points[score_key] = _Point(settings, scores, frozenset(scores.missing(test)))
        computed.append(0 if known else len(points[score_key].missing))
    missing = [key for key in test if any(key in point.missing for point in points.values())]
    done = len(test) - len(missing)
    report("score", category, done, len(test), "found in the store")
    for keys in _score_batches(job, list(points.values()), train, missing):
        done += len(keys)
        report("score", category, done, len(test), f"{len(keys)} new")
    held = _held_mib(jobs, train) if missing else [0.0] * len(jobs)
    seconds = (time.perf_counter() - start) / len(jobs)
    return [
        Stage(
            *("score", category, seconds, count, len(test)),
            method=SPADE,
            state_mib=mebibytes if count else None,
        )
        for count, mebibytes in zip(computed, held, strict=True)
    ]


def _held_mib(jobs: Sequence[Job], train: Sequence[str]) -> list[float]:
    """For each job the size of embeddings and matched levels of all training images."""
    features = Features(jobs[0].open_store(), jobs[0].feature_key)
    strides = sorted({stride for job in jobs for stride in job.configuration.levels})
    sizes = {s: level.nbytes for s, level in zip(strides, features.pyramid(train[0], strides), strict=True)}
    embedding = features.embeddings(train[:1]).nbytes
    return [
        len(train) * (embedding + sum(sizes[stride] for stride in job.configuration.levels)) / 2**20
        for job in jobs
    ]


def _adopt(
    job: Job,
    earlier: Sequence[Alike],
    scores: Scores,
    settings: Configuration,
    train: Sequence[str],
    test: Sequence[str],
) -> None:
    """Record the missing scores that were computed with other training images, and still hold."""
    missing = scores.missing(test)
    if not (missing and earlier):
        return
    faiss_index = _read_index(job, train)
    features = Features(job.open_store(), job.feature_key)
    for first in range(0, len(missing), BATCH_SIZE):
        keys = missing[first : first + BATCH_SIZE]
        _, positions = nearest(faiss_index, features.embeddings(keys), _neighbors(settings))
        held: list[tuple[ImageScore, NDArray[np.float32]]] = []
        for key, ids in zip(keys, positions.tolist(), strict=True):
            finds = (alike.find(key, train, ids) for alike in earlier)
            held += islice(filter(None, finds), 1)
        if held:
            records, maps = zip(*held, strict=True)
            scores.append(records, np.stack(maps))


def _read_index(job: Job, train: Sequence[str]) -> faiss.Index:
    kind = job.configuration.index_for(len(train))
    return read_index(job.open_store(), job.feature_key, index_name(train, kind))


def _score_batches(
    job: Job, points: Sequence[_Point], train: Sequence[str], missing: Sequence[str]
) -> Iterator[Sequence[str]]:
    """Record the scores of the missing images under all points that miss them; yield each batch's keys."""
    if not missing:
        return
    points = [point for point in points if point.missing]
    faiss_index = _read_index(job, train)
    features = Features(job.open_store(), job.feature_key)
    strides = sorted({stride for point in points for stride in point.settings.levels})
    pyramids = cached_pyramids(features, strides, missing[0], job.memory_gib)
    furthest = max(_neighbors(point.settings) for point in points)
    for first in range(0, len(missing), BATCH_SIZE):
        keys = missing[first : first + BATCH_SIZE]
        batch: dict[int, list[tuple[ImageScore, NDArray[np.float32]]]] = defaultdict(list)
        squared, positions = nearest(faiss_index, features.embeddings(keys), furthest)
        for key, distances, ids in zip(keys, squared, positions, strict=True):
            wanting = [number for number, point in enumerate(points) if key in point.missing]
            settings = [points[number].settings for number in wanting]
            found = score_image(settings, key, distances, ids, train, pyramids, job.device)
            for number, scored in zip(wanting, found, strict=True):
                batch[number].append(scored)
        for number, scored_images in batch.items():
            records, maps = zip(*scored_images, strict=True)
            points[number].scores.append(records, np.stack(maps))
        yield keys


def scoring(job: Job, manifest: Manifest) -> tuple[str, dict[str, Any]]:
    """The score key of a category, and what it is a digest of: features, training images, settings.

    A K larger than the number of training images counts as that number.
    """
    train = [entry.key for entry in manifest.train()]
    description = _effective(job.configuration, len(train)).scoring_description() | {
        "features": job.feature_key,
        "gallery": gallery_digest(train),
    }
    return digest(description), description


def _effective(settings: Configuration, rows: int) -> Configuration:
    return replace(
        settings,
        k_image=min(settings.k_image, rows),
        k_gallery=min(settings.k_gallery, rows),
        index=settings.index_for(rows),
    )


def _neighbors(settings: Configuration) -> int:
    """How many nearest training images are recorded."""
    return max(settings.k_image, settings.k_gallery)


def score_image(
    points: Sequence[Configuration],
    key: str,
    squared_distances: NDArray[np.float64],
    positions: NDArray[np.int64],
    train: Sequence[str],
    pyramids: Pyramids,
    device: str,
) -> list[tuple[ImageScore, NDArray[np.float32]]]:
    """The record and the anomaly map of one test image under each point, given its neighbours, nearest first.

    `pyramids` have at least the levels of the points.
    """
    query = pyramids.read(key)
    matches: dict[Configuration, list[NDArray[np.float32]]] = {}
    for rule in dict.fromkeys((point.gallery, point.gallery_seed) for point in points):
        group = [point for point in points if (point.gallery, point.gallery_seed) == rule]
        order = positions if rule[0] == "nearest" else random_order(train, key, rule[1])
        images = order[: max(point.k_gallery for point in group)]
        gallery = (pyramids.read(train[position]) for position in images)
        matchings = [_matching(point, pyramids.strides) for point in group]
        matches |= zip(group, match_each(query, gallery, matchings, device=device), strict=True)
    return [
        _scored(point, key, matches[point], squared_distances.tolist(), positions.tolist())
        for point in points
    ]


def _matching(settings: Configuration, strides: Sequence[int]) -> Matching:
    return Matching(
        levels=tuple(strides.index(level) for level in settings.levels),
        fusion=settings.fusion,
        upsampling=settings.upsampling,
        kappa=settings.kappa,
        images=settings.k_gallery,
    )


def _scored(
    settings: Configuration,
    key: str,
    matches: Sequence[NDArray[np.float32]],
    squared_distances: list[float],
    positions: list[int],
) -> tuple[ImageScore, NDArray[np.float32]]:
    distance_maps = [patch_scores(squared, settings.distance) for squared in matches]
    anomaly_map = smooth(distance_maps, settings.metric_resolution, settings.sigma)
    recorded = _neighbors(settings)
    scored = np.array([squared_distances[: settings.k_image]])
    record = ImageScore(
        sha256=key,
        score_embedding=float(embedding_score(scored)[0]),
        score_map=map_score(anomaly_map),
        neighbors=positions[:recorded],
        squared_distances=squared_distances[:recorded],
    )
    return record, anomaly_map


def cached_pyramids(features: Features, strides: Sequence[int], key: str, memory_gib: float) -> Pyramids:
    """Reads pyramids, and keeps the last ones: as many as fit into the memory, each of the size of `key`'s.

    Where all training images of a category fit, each is read and decoded once.
    """
    size = sum(level.nbytes for level in features.pyramid(key, strides))
    kept = max(1, int(memory_gib * 2**30 / max(size, 1)))  # no level, no size
    return Pyramids(tuple(strides), lru_cache(maxsize=kept)(partial(features.pyramid, strides=strides)))
