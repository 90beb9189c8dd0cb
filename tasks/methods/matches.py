"""Where the best match of an image's most anomalous patch lies, in which training image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.datasets.manifest import ImageFile
from tasks.core.matching.correspondence import hottest_cell, nearest_patches, window_around
from tasks.core.methods.interface import Correspondence, Method, Pyramid, Query, Training
from tasks.core.networks.traits import Level

Point = tuple[float, float]


@dataclass(frozen=True)
class Match:
    """A patch and its best match; points are x and y of a patch's centre, shares of the evaluated area.

    Attributes:
        levels: those that were compared.
        cell: a patch's width and height, such shares.
        at: the patch.
        training: the image that the match is in.
        there: the match.
        window: the part of that image that was compared: left, top, right, bottom; None if all of it was.
        measure: what is least at the best match, in words.
        distance: its value.
        squared_distance: of the vectors compared.
    """

    levels: tuple[Level, ...]
    cell: Point
    at: Point
    training: ImageFile
    there: Point
    window: tuple[float, float, float, float] | None
    measure: str
    distance: float
    squared_distance: float


@dataclass(frozen=True)
class Question:
    """The most anomalous patch of an image on each matched grid: cells, grids' shapes, vectors (C,).

    `compared` are the positions of the training images whose patches compete.
    """

    cells: list[tuple[int, int]]
    shapes: list[tuple[int, int]]
    vectors: list[NDArray[np.float32]]
    compared: Sequence[int]

    @classmethod
    def of(
        cls,
        method: Method,
        correspondence: Correspondence,
        query: Query,
        anomaly_map: NDArray[np.float32],
        training: Training,
    ) -> Question:
        """That of an image by its map (R, R); the query has the levels of the method's correspondence."""
        near = method.nearest(query, training)[1].tolist()
        grids = correspondence.grids(query.pyramid)
        shapes = [(grid.shape[0], grid.shape[1]) for grid in grids]
        cells = [hottest_cell(anomaly_map, shape) for shape in shapes]
        vectors = [grid[cell] for grid, cell in zip(grids, cells, strict=True)]
        return cls(cells, shapes, vectors, correspondence.compared(query, training, near))


def within(
    training: ImageFile, pyramid: Pyramid, asked: Sequence[Question], correspondence: Correspondence
) -> list[list[Match]]:
    """The best matches within one training image: of each question, one a matched grid."""
    found: list[list[Match]] = [[] for _ in asked]
    levels = correspondence.grid_levels()
    for number, grid in enumerate(correspondence.grids(pyramid)):
        own = [question.cells[number] for question in asked]
        vectors = np.stack([question.vectors[number] for question in asked])
        squared, cells = nearest_patches(vectors, grid, own, correspondence.window)
        for place, question in enumerate(asked):
            shape, distance = question.shapes[number], float(squared[place])
            row, column = cells[place].tolist()
            found[place].append(
                Match(
                    levels[number],
                    (1 / shape[1], 1 / shape[0]),
                    _centre(own[place], shape),
                    training,
                    _centre((row, column), shape),
                    window_around(own[place], correspondence.window, shape),
                    correspondence.measure,
                    correspondence.measured(distance),
                    distance,
                )
            )
    return found


def nearer(known: Sequence[Match], offered: Sequence[Match]) -> list[Match]:
    """The nearer of two matches on each grid, the known one of equals; those offered, if none is known."""
    if not known:
        return list(offered)
    pairs = zip(known, offered, strict=True)
    return [min(pair, key=lambda match: match.squared_distance) for pair in pairs]


def _centre(cell: tuple[int, int], shape: tuple[int, int]) -> Point:
    return (cell[1] + 0.5) / shape[1], (cell[0] + 0.5) / shape[0]
