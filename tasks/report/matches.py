"""For the most anomalous position of each test image: where its best match lies in which training image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.datasets.manifest import ImageFile
from tasks.core.matching.correspondence import hottest_cell, nearest_patches, window_around
from tasks.core.methods.interface import Correspondence, Method, Query, Training
from tasks.core.networks.traits import Level
from tasks.report.source import Source

Point = tuple[float, float]
Found = dict[str, list["Match"] | str]


@dataclass(frozen=True)
class Match:
    """A patch and its best match; points are x and y of a patch's centre, shares of the evaluated area.

    `cell` is a patch's width and height as such shares, `levels` are those that were compared, `training` is
    the image that the match is in. `window` is the part of it that was compared: left, top, right and bottom,
    shares; None if all of it was. `distance` is the method's, `squared_distance` that of the vectors
    compared.
    """

    levels: tuple[Level, ...]
    cell: Point
    at: Point
    training: ImageFile
    there: Point
    squared_distance: float
    distance: float
    window: tuple[float, float, float, float] | None


@dataclass(frozen=True)
class _Asked:
    """The most anomalous patch of a test image on each matched grid: cells, grids' shapes, vectors (C,).

    `compared` are the positions of the training images whose patches compete.
    """

    cells: list[tuple[int, int]]
    shapes: list[tuple[int, int]]
    vectors: list[NDArray[np.float32]]
    compared: Sequence[int]


def matches(
    source: Source,
    scores: Scores,
    test: Sequence[ImageFile],
    train: Sequence[ImageFile],
    method: Method,
    pool: Executor,
) -> Found:
    """The matches of each test image by image_id, one a matched grid; or why there are none.

    `method` is a settled one that has a correspondence. One training image a thread is in memory at a time.
    """
    training, correspondence = source.training(train), method.correspondence
    if isinstance(training, str) or correspondence is None:
        return {entry.image_id: str(training) for entry in test}
    answered = pool.map(lambda entry: _asked(source, scores, entry, method, training), test)
    found: Found = {}
    asked: dict[str, _Asked] = {}
    for entry, answer in zip(test, answered, strict=True):
        if isinstance(answer, str):
            found[entry.image_id] = answer
        else:
            found[entry.image_id], asked[entry.image_id] = [], answer
    askers: dict[int, list[str]] = defaultdict(list)
    for image_id, question in asked.items():
        for position in question.compared:
            askers[position].append(image_id)
    answers = pool.map(
        lambda position: _answers(
            source, train[position], {name: asked[name] for name in askers[position]}, correspondence
        ),
        askers,
    )
    for of_image in answers:
        for image_id, offered in of_image.items():
            found[image_id] = _better(found[image_id], offered)
    return found


def _asked(
    source: Source, scores: Scores, entry: ImageFile, method: Method, training: Training
) -> _Asked | str:
    correspondence = method.correspondence
    assert correspondence is not None
    values, embedding = source.anomaly_map(scores, entry), source.embedding(entry)
    pyramid = source.pyramid(entry, correspondence.levels)
    if isinstance(values, str):
        return values
    if isinstance(embedding, str) or isinstance(pyramid, str):
        return str(embedding if isinstance(embedding, str) else pyramid)
    query = Query(embedding, pyramid, entry.key)
    _, near = method.nearest(query, training)
    grids = correspondence.grids(pyramid)
    shapes = [(grid.shape[0], grid.shape[1]) for grid in grids]
    cells = [hottest_cell(values, shape) for shape in shapes]
    vectors = [grid[cell] for grid, cell in zip(grids, cells, strict=True)]
    return _Asked(cells, shapes, vectors, correspondence.compared(query, training, near.tolist()))


def _answers(
    source: Source, entry: ImageFile, asked: Mapping[str, _Asked], correspondence: Correspondence
) -> Found:
    """The best matches of some patches within one training image."""
    pyramid = source.pyramid(entry, correspondence.levels)
    if isinstance(pyramid, str):
        return dict.fromkeys(asked, pyramid)
    listed: dict[str, list[Match]] = {image_id: [] for image_id in asked}
    levels = correspondence.grid_levels()
    for number, grid in enumerate(correspondence.grids(pyramid)):
        vectors = np.stack([question.vectors[number] for question in asked.values()])
        own = [question.cells[number] for question in asked.values()]
        squared, cells = nearest_patches(vectors, grid, own, correspondence.window)
        for (image_id, question), distance, cell in zip(asked.items(), squared, cells, strict=True):
            shape = question.shapes[number]
            listed[image_id].append(
                Match(
                    levels[number],
                    (1 / shape[1], 1 / shape[0]),
                    _point(question.cells[number], shape),
                    entry,
                    _point((int(cell[0]), int(cell[1])), shape),
                    float(distance),
                    correspondence.measured(float(distance)),
                    window_around(question.cells[number], correspondence.window, shape),
                )
            )
    return dict(listed)


def _better(known: list[Match] | str, offered: list[Match] | str) -> list[Match] | str:
    """The nearer match on each grid; a gallery that cannot be read whole leaves its reason."""
    if isinstance(known, str) or not known:
        return known or offered
    if isinstance(offered, str):
        return offered
    pairs = zip(known, offered, strict=True)
    return [min(pair, key=lambda match: match.squared_distance) for pair in pairs]


def _point(cell: tuple[int, int], shape: tuple[int, int]) -> Point:
    return (cell[1] + 0.5) / shape[1], (cell[0] + 0.5) / shape[0]
