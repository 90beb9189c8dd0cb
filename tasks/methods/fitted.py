"""Methods that are fitted to the normal images, once, and scored from the same stored features."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.features import Features
from storage.computed.indices import gallery_digest
from storage.computed.scores import ImageScore, Scores
from storage.computed.states import has_state, read_state, write_state
from storage.datasets.dataset import Manifest
from storage.store.store import digest
from tasks.core.config import Configuration
from tasks.core.matching.pyramid import smooth
from tasks.core.methods.interface import Method, Scorer, State, Training
from tasks.core.methods.registry import describe_method, method_label
from tasks.core.metrics.ranking import map_score
from tasks.job import Job, Stage
from tasks.methods.spade import BATCH_SIZE, Pyramids, cached_pyramids
from tasks.progress import report


def score_learned(job: Job, manifest: Manifest, method: Method) -> list[Stage]:
    """Fit a method to a category's training images, if it was not, and append the missing scores.

    Image scores are by the method's own rule, and, where it has a map, by the map that is brought to the
    metric resolution and filtered as SPADE's.
    """
    start = time.perf_counter()
    store, label = job.open_store(), method_label(method)
    (category,) = manifest.categories()
    fit = _Fit(job, manifest, method)
    test = list(dict.fromkeys(entry.key for entry in manifest.test()))
    score_key, description = learned_scoring(job, manifest, method)
    scores = Scores(store, score_key)
    scores.describe(description)
    missing = scores.missing(test)
    known = not missing or has_state(store, fit.key)
    report(label, category, len(test) - len(missing), len(test), "found in the store")
    mebibytes, fitted = None, start
    if missing:
        state = fit.read() if known else fit.learn()
        mebibytes = sum(array.nbytes for array in state.values()) / 2**20
        fitted = time.perf_counter()
        done = len(test) - len(missing)
        for records, maps in _batches(job.configuration, fit, state, missing):
            scores.append(records, maps)
            done += len(records)
            report(label, category, done, len(test), f"{len(records)} new")
    images, scored = len(fit.train), time.perf_counter()
    stages = [
        Stage("fit", category, fitted - start, 0 if known else images, images),
        Stage("score", category, scored - fitted, len(missing), len(test)),
    ]
    return [replace(stage, method=label, state_mib=mebibytes) for stage in stages]


def learned_scoring(job: Job, manifest: Manifest, method: Method) -> tuple[str, dict[str, Any]]:
    """The score key of a category and method, and what it is a digest of."""
    settings = job.configuration
    description = _Fit(job, manifest, method).description | {
        "sigma": settings.sigma,
        "metric_resolution": settings.metric_resolution,
    }
    return digest(description), description


@dataclass(frozen=True)
class _Fit:
    """A method and the training images that it learns."""

    job: Job
    manifest: Manifest
    method: Method

    @cached_property
    def train(self) -> list[str]:
        return [entry.key for entry in self.manifest.train()]

    @cached_property
    def description(self) -> dict[str, Any]:
        """All that determines the state."""
        learned = {"features": self.job.feature_key, "gallery": gallery_digest(self.train)}
        return describe_method(self.method) | learned

    @cached_property
    def key(self) -> str:
        return digest(self.description)

    @cached_property
    def features(self) -> Features:
        return Features(self.job.open_store(), self.job.feature_key)

    @cached_property
    def pyramids(self) -> Pyramids:
        return cached_pyramids(self.features, self.method.strides, self.train[0], self.job.memory_gib)

    def read(self) -> State:
        """The state in the store."""
        return read_state(self.job.open_store(), self.key)

    def learn(self) -> State:
        """Fit the method, and keep its state."""
        training = Training(
            self.features.embeddings(self.train), lambda position: self.pyramids.read(self.train[position])
        )
        state = self.method.fit(training)
        write_state(self.job.open_store(), self.key, self.description, state)
        return state


def _batches(
    settings: Configuration, fit: _Fit, state: State, keys: Sequence[str]
) -> Iterator[tuple[list[ImageScore], NDArray[np.float32] | None]]:
    """Records, and maps (B, R, R) if the method has any, of the images in their order."""
    scorer = fit.method.scorer(state)
    for first in range(0, len(keys), BATCH_SIZE):
        batch = keys[first : first + BATCH_SIZE]
        embeddings = fit.features.embeddings(batch)
        scored = [
            _scored(settings, key, scorer, embedding, fit.pyramids)
            for key, embedding in zip(batch, embeddings, strict=True)
        ]
        maps = [anomaly_map for _, anomaly_map in scored if anomaly_map is not None]
        yield [record for record, _ in scored], np.stack(maps) if maps else None


def _scored(
    settings: Configuration, key: str, scorer: Scorer, embedding: NDArray[np.float32], pyramids: Pyramids
) -> tuple[ImageScore, NDArray[np.float32] | None]:
    found = scorer(embedding, pyramids.read(key))
    if found.map is None:
        return ImageScore(key, found.image, None, [], []), None
    anomaly_map = smooth([found.map], settings.metric_resolution, settings.sigma)
    return ImageScore(key, found.image, map_score(anomaly_map), [], []), anomaly_map
