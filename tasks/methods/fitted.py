"""Methods that score from stored features; what they learn of the normal images is kept, as are scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.indices import gallery_digest, read_index
from storage.computed.needs import TRAIN, state_key
from storage.computed.scores import ImageScore
from storage.computed.states import has_state, read_state, write_state
from tasks.core.batches import batches
from tasks.core.config import Configuration
from tasks.core.matching.pyramid import smooth
from tasks.core.methods import interface
from tasks.core.methods.interface import JointScorer, Method, Query, State, Training
from tasks.core.metrics.ranking import map_score
from tasks.core.networks.traits import Level
from tasks.job import Part, Stage
from tasks.methods.index import build
from tasks.methods.reuse import Alike, EarlierScores
from tasks.methods.scoring import BATCH_SIZE, Asked, Map, Scoring
from tasks.progress import report

FOLDS = 5  # of training images, each held out of a fit to the others


@dataclass(frozen=True, eq=False)
class FeatureScoring(Scoring):
    """A method that scores from features, on one category."""

    @cached_property
    def learned_from(self) -> dict[str, Any]:
        """All that determines the state."""
        part = self.part
        learned = {"features": part.job.feature_key, "training": gallery_digest(part.train)}
        return {"settings": self.settled.description()} | learned

    @cached_property
    def description(self) -> dict[str, Any]:
        """All that determines the scores: also what brings maps to metric resolution."""
        return self.learned_from | self.part.job.configuration.map_description()

    @cached_property
    def state_key(self) -> str:
        """What the state is found by."""
        return state_key(self.learned_from)

    def has_state(self) -> bool:
        """Whether there is nothing to learn any more."""
        return not self.settled.learns or has_state(self.part.store, self.state_key)

    def state(self, training: Training, *, keep: bool = True) -> State:
        """What the method learned of its training images, now if it had not before."""
        if not self.settled.learns:
            return {}
        if self.has_state():
            return read_state(self.part.store, self.state_key)
        state = self.settled.fit(training)
        if keep:
            write_state(self.part.store, self.state_key, self.learned_from, state)
        return state

    def score(self) -> list[Stage]:
        """Append the scores that images lack."""
        return score_jointly([self])[0]

    def pieces(self) -> list[FeatureScoring]:
        """All that is scored from features for it."""
        return [self]

    def learn(self) -> list[Stage]:
        """Take over scores that still hold, and learn of the training images if any are left to score."""
        start = time.perf_counter()
        if not _missing(self) or self.has_state():
            return []
        self.state(self._training)
        count = len(self.part.train)
        return [self.stage("fit", time.perf_counter() - start, count, count)]

    def ask(self, image: Asked) -> tuple[ImageScore, Map]:
        """The record and the anomaly map of any image."""
        query = Query(image.embedding, image.levels(self.settled.reads), image.key)
        return self.result(image.key, self._scorer(query))

    def held_out(self, keys: Sequence[str], *, maps: bool) -> Iterator[tuple[ImageScore, Map]]:
        """Each image against all others, where that takes no fit; else by fits to the other folds."""
        if not self.settled.depends_on_neighbors_alone:
            yield from self._by_folds(keys)
            return
        features, reads = self.part.features, self.settled.reads if maps else self.settled.image_reads
        scorer = self._scorer if maps else self.settled.image_scorer({}, self._training)
        for key in keys:
            levels = features.pyramid(key, reads)
            query = Query(features.embeddings([key])[0], levels, key, held_out=True)
            yield self.result(key, scorer(query))

    def result(self, key: str, found: interface.Scores) -> tuple[ImageScore, Map]:
        """The record and the anomaly map at metric resolution of what the method says."""
        anomaly_map, by_map = None, None
        if found.maps:
            anomaly_map = anomaly_map_of(self.part.job.configuration)(found.maps)
            by_map = map_score(anomaly_map)
        record = ImageScore(key, found.image, by_map, list(found.neighbors), list(found.squared_distances))
        return record, anomaly_map

    @cached_property
    def _training(self) -> Training:
        return training_images(self.part, self.settled.reads, fits=not self.has_state())

    @cached_property
    def _scorer(self) -> interface.Scorer:
        return self.settled.scorer(self.state(self._training), self._training)

    def _by_folds(self, keys: Sequence[str]) -> Iterator[tuple[ImageScore, Map]]:
        """From scores of the folds that hold the images, which are kept; the states are not."""
        trained = sorted(set(self.part.train))
        folds = {key: place * FOLDS // len(trained) for place, key in enumerate(trained)}
        for fold in sorted({folds[key] for key in keys}):
            out = {key for key in trained if folds[key] == fold}
            calibration = type(self)(self.part.held_out(out), self.method)
            score_jointly([calibration], keep=False)
            for key in keys:
                if key in out:
                    record = calibration.scores.read(key)
                    has_map = record.score_map is not None
                    yield record, calibration.scores.anomaly_map(key) if has_map else None


def training_images(part: Part, levels: Sequence[Level], *, fits: bool = False) -> Training:
    """The training images of a category, with these levels; an absent index is built.

    Of the job's memory the levels that are kept have all, or half if a method `fits`, which has the other.
    """
    build(part)
    index = read_index(part.store, part.job.feature_key, gallery_digest(part.train))
    share = part.job.memory_bytes / (2 if fits else 1)
    read = part.pyramids(levels, share)
    return Training(
        index.reconstruct_n(0, index.ntotal),
        lambda position: read(part.train[position]),
        levels,
        part.train,
        index,
        part.job.device,
        anomaly_map_of(part.job.configuration),
        share,
    )


def anomaly_map_of(
    configuration: Configuration,
) -> Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]]:
    """What brings pixel scores to the anomaly map at metric resolution."""
    return partial(smooth, resolution=configuration.metric_resolution, sigma=configuration.sigma)


def score_jointly(scorings: Sequence[FeatureScoring], *, keep: bool = True) -> list[list[Stage]]:
    """Score the images that lack scores, by methods of one kind on one category; the stages of each.

    What the methods have in common is done once, and an image is scored by those alone that lack its scores.
    The scores are those of each on its own, and are recorded as such, batch by batch. Each method's stage
    counts what it lacked, and has an equal share of the time; one whose scores are those of a method before
    it lacked none. Without `keep`, what was learned is not kept.
    """
    start = time.perf_counter()
    part = scorings[0].part
    by_key = {scoring.key: scoring for scoring in reversed(scorings)}
    missing = {
        scoring: _missing(scoring) if by_key[scoring.key] is scoring else frozenset[str]()
        for scoring in scorings
    }
    lacking = [scoring for scoring in scorings if missing[scoring]]
    wanted = [key for key in part.scored if any(key in missing[scoring] for scoring in lacking)]
    known = {scoring: scoring.has_state() for scoring in scorings}
    label, done = scorings[0].method.label, len(part.scored) - len(wanted)
    report(label, part.category, done, len(part.scored), "found in the store")
    fitted, held = start, {}
    if wanted:
        read = {level for scoring in lacking for level in scoring.settled.reads}
        levels = [level for level in part.job.configuration.grids if level in read]
        training = training_images(part, levels, fits=not all(known[scoring] for scoring in lacking))
        by_method = {scoring.settled: scoring for scoring in lacking}
        states = {method: scoring.state(training, keep=keep) for method, scoring in by_method.items()}
        if not any(method.gallery_reads for method in states):  # what was kept for fitting is let go
            training = replace(
                training, pyramid=lambda position: part.features.pyramid(part.train[position], levels)
            )
        fitted = time.perf_counter()
        ask = _asking(states, training)
        for keys in batches(wanted, BATCH_SIZE):
            found = {}
            for query in _queries(part, keys, levels):
                asked = (scoring.settled for scoring in lacking if query.key in missing[scoring])
                found[query.key] = ask(query, asked)
            for scoring in lacking:
                new = [(key, found[key][scoring.settled]) for key in keys if key in missing[scoring]]
                record_scores(scoring, [scoring.result(*each) for each in new])
            done += len(keys)
            report(label, part.category, done, len(part.scored), f"{len(keys)} new")
        held = {scoring: _held_mib(scoring, states[scoring.settled]) for scoring in lacking}
    ended, several = time.perf_counter(), len(scorings)
    stages: list[list[Stage]] = []
    for scoring in scorings:
        learned = scoring in lacking and not known[scoring]
        began, images, fit = start, len(part.train), []
        if scoring.settled.learns:
            seconds, began = (fitted - start) / several, fitted
            fit = [scoring.stage("fit", seconds, images * learned, images, held.get(scoring))]
        seconds, count = (ended - began) / several, len(missing[scoring])
        stages.append([*fit, scoring.stage("score", seconds, count, len(part.scored), held.get(scoring))])
    return stages


def _asking(
    states: Mapping[Method, State], training: Training
) -> Callable[[Query, Iterable[Method]], dict[Method, interface.Scores]]:
    """What asks methods of one kind together about an image, given what each learned."""

    @cache
    def scorer(methods: tuple[Method, ...]) -> JointScorer:
        return type(methods[0]).joint_scorer(methods, [states[method] for method in methods], training)

    def ask(query: Query, methods: Iterable[Method]) -> dict[Method, interface.Scores]:
        asked = tuple(dict.fromkeys(methods))
        return dict(zip(asked, scorer(asked)(query), strict=True))

    return ask


def _missing(scoring: FeatureScoring) -> frozenset[str]:
    """The images without scores, once those that still hold are taken over."""
    scores, part = scoring.scores, scoring.part
    earlier = EarlierScores(part.store, (part.job.dataset.name, part.category), scoring.description)
    if not scores.is_described():
        if scoring.settled.depends_on_neighbors_alone:
            earlier.note(scoring.key)
        scores.describe(scoring.description | {TRAIN: part.train})
    missing = scores.missing(part.scored)
    if missing and scoring.settled.depends_on_neighbors_alone:
        _adopt(scoring, missing, earlier.alike(part.train))
        missing = scores.missing(part.scored)
    return frozenset(missing)


def _adopt(scoring: FeatureScoring, missing: Sequence[str], earlier: Sequence[Alike]) -> None:
    """Record the missing scores that were computed with other training images, and still hold."""
    if not earlier:
        return
    part = scoring.part
    training = training_images(part, ())
    for keys in batches(missing, BATCH_SIZE):
        held: list[tuple[ImageScore, Map]] = []
        for key, embedding in zip(keys, part.features.embeddings(keys), strict=True):
            _, positions = scoring.settled.nearest(Query(embedding, (), key), training)
            finds = (alike.find(key, part.train, positions.tolist()) for alike in earlier)
            found = next(filter(None, finds), None)
            held += [found] if found else []
        record_scores(scoring, held)


def _queries(part: Part, keys: Sequence[str], levels: Sequence[Level]) -> Iterator[Query]:
    for key, embedding in zip(keys, part.features.embeddings(keys), strict=True):
        pyramid = part.features.pyramid(key, levels)
        yield Query(embedding, pyramid, key)


def record_scores(scoring: Scoring, results: Sequence[tuple[ImageScore, Map]]) -> None:
    """Append a batch of records and maps, if there are any."""
    if results:
        maps = [anomaly_map for _, anomaly_map in results if anomaly_map is not None]
        scoring.scores.append([record for record, _ in results], np.stack(maps) if maps else None)


def _held_mib(scoring: FeatureScoring, state: State) -> float:
    """Size of the state, and of what scoring reads of all training images."""
    part = scoring.part
    embeddings = part.features.embeddings(part.train[:1]).nbytes if scoring.settled.neighbor_count else 0
    levels = part.features.pyramid(part.train[0], scoring.settled.gallery_reads)
    of_images = len(part.train) * (embeddings + sum(level.nbytes for level in levels))
    return (sum(array.nbytes for array in state.values()) + of_images) / 2**20
