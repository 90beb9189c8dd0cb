"""The scores of an image by SPADE and its descendants: under several settings at once, or without a map."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tasks.core.matching.foreground import foreground
from tasks.core.matching.matching import Matching, match_each, patch_scores
from tasks.core.methods.interface import Query, Scores, Training, combined
from tasks.core.methods.spade import Spade
from tasks.core.metrics.ranking import map_score

_Maps = list[NDArray[np.float32]]
_Near = tuple[NDArray[np.float64], NDArray[np.int64]]
_SHARE = 0.01  # of the patches, whose mean is the image score


def score_together(methods: Sequence[Spade], query: Query, training: Training) -> list[Scores]:
    """Scores of one image under several settings, nothing computed twice.

    The query and the training images have the levels of all the methods, at `training.levels`. An image's
    gallery is read once an order, and each search serves every K and kappa.
    """
    near = _nearest(methods, query, training)
    searches = {method: [_of_map(method, training), *_of_image(method, training)] for method in methods}
    found = _maps(searches, near, query, training)
    scores = [_scores(method, near, found[method][-1], training) for method in methods]
    return [each._replace(maps=found[method][0]) for method, each in zip(methods, scores, strict=True)]


def score_image(method: Spade, query: Query, training: Training) -> Scores:
    """The image score and the neighbours of one image, without a map."""
    near = _nearest([method], query, training)
    maps: _Maps = []
    for matching in _of_image(method, training):
        ((maps,),) = _maps({method: [matching]}, near, query, training).values()
    return _scores(method, near, maps, training)


def _nearest(methods: Sequence[Spade], query: Query, training: Training) -> dict[str, _Near]:
    """By each distance of embeddings, as many nearest training images as any of the methods needs."""
    counts: dict[str, int] = {}
    for method in methods:
        needed = len(training) if method.gallery == "all" else method.neighbor_count
        counts[method.retrieval] = max(needed, counts.get(method.retrieval, 0))
    return {name: training.nearest(query, count, cosine=name == "cosine") for name, count in counts.items()}


def _of_map(method: Spade, training: Training) -> Matching:
    """The search that gives the map; of all training images, however many there are."""
    matching = method.matching(training.levels)
    return replace(matching, images=sys.maxsize) if method.gallery == "all" else matching


def _of_image(method: Spade, training: Training) -> list[Matching]:
    """The search that gives the image score, if one does."""
    matching = _of_map(method, training)
    if method.image_rule == "embedding":
        return []
    return [replace(matching, window=0) if method.image_rule == "unrestricted" else matching]


def _maps(
    searches: Mapping[Spade, Sequence[Matching]], near: Mapping[str, _Near], query: Query, training: Training
) -> dict[Spade, list[_Maps]]:
    """The pixel scores by the searches of each method; those that offer images in one order share them."""
    found: dict[Spade, list[_Maps]] = {}
    for order in dict.fromkeys(map(_order, searches)):
        group = [method for method in searches if _order(method) == order]
        first = group[0]
        offered = first.drawn(query, training) if first.gallery == "random" else near[first.retrieval][1]
        matchings = [matching for method in group for matching in searches[method]]
        images = offered[: max(matching.images for matching in matchings)]
        gallery = (training.pyramid(int(position)) for position in images)
        squared = iter(
            match_each(query.pyramid, gallery, matchings, device=training.device, frames=training.frames)
        )
        for method in group:
            kept = _kept(method, query, training)
            found[method] = [
                [patch_scores(each, method.distance) * kept for each in next(squared)]
                for _ in searches[method]
            ]
    return found


def _order(method: Spade) -> tuple[object, ...]:
    """What decides in which order images are offered; all are offered nearest first."""
    if method.gallery == "random":
        return method.gallery, method.gallery_seed
    return (method.retrieval,)


def _kept(method: Spade, query: Query, training: Training) -> NDArray[np.bool_] | int:
    """The patches (H, W) that are scored."""
    if method.foreground == "all":
        return 1
    (level,) = method.levels
    return foreground(query.pyramid[training.levels.index(level)])


def _scores(method: Spade, near: Mapping[str, _Near], maps: _Maps, training: Training) -> Scores:
    """The image score and the neighbours; `maps` are those of the search that gives the image score."""
    squared, positions = near[method.retrieval]
    count = method.neighbor_count
    named = positions[:count].tolist(), squared[:count].tolist()
    if method.image_rule == "embedding":
        return Scores(float(squared[: method.k_image].mean()), (), *named)
    if method.image_rule == "patches":
        patches = np.sort(combined(maps), axis=None)
        highest = patches[-max(1, int(_SHARE * patches.size)) :]
        return Scores(float(highest.mean(dtype=np.float64)), (), *named)
    return Scores(map_score(training.anomaly_map(maps)), (), *named)
