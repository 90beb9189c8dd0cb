"""For the most anomalous position of a new image: where its best match lies in which training image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.core.matching.correspondence import hottest_cell, nearest_patches, window_around
from tasks.core.methods.interface import Correspondence, Method, Pyramid, Query, Training
from tasks.core.networks.traits import Level
from tasks.job import Part
from tasks.methods.fitted import training_images
from tasks.methods.scoring import Asked, Scoring


@dataclass(frozen=True)
class Match:
    """A patch of a new image and its best match; points are x and y of centres, shares of the evaluated area.

    Attributes:
        levels: those that were compared.
        cell: a patch's width and height, such shares.
        at: the patch.
        position: of the training image that the match is in.
        there: the match.
        window: the part of that image that was compared: left, top, right, bottom; None if all of it was.
        measure: what is least at the best match, in words.
        distance: its value.
    """

    levels: tuple[Level, ...]
    cell: tuple[float, float]
    at: tuple[float, float]
    position: int
    there: tuple[float, float]
    window: tuple[float, float, float, float] | None
    measure: str
    distance: float


@dataclass(frozen=True, eq=False)
class Matcher:
    """The method that says where the best match of a patch lies, on one category."""

    part: Part
    method: Method
    correspondence: Correspondence

    @classmethod
    def of(cls, scoring: Scoring) -> Matcher | None:
        """The method of a scoring, or the first that it joins that says so; None if none does."""
        for method in scoring.settled.members:
            if (found := method.correspondence) is not None:
                return cls(scoring.part, method, found)
        return None

    def find(self, image: Asked, anomaly_map: NDArray[np.float32]) -> list[Match]:
        """The best match on each grid of the most anomalous patch by a map (R, R)."""
        correspondence = self.correspondence
        pyramid = image.levels(correspondence.levels)
        query = Query(image.embedding, pyramid, image.key)
        near = self.method.nearest(query, self._training)[1].tolist()
        grids = correspondence.grids(pyramid)
        shapes = [(grid.shape[0], grid.shape[1]) for grid in grids]
        cells = [hottest_cell(anomaly_map, shape) for shape in shapes]
        best: list[tuple[float, int, tuple[int, int]]] = [(np.inf, -1, (0, 0))] * len(grids)
        for position in correspondence.compared(query, self._training, near):
            others = correspondence.grids(self._read(self.part.train[position]))
            for number, other in enumerate(others):
                vector, cell = grids[number][cells[number]][None], cells[number]
                squared, there = nearest_patches(vector, other, [cell], correspondence.window)
                if squared[0] < best[number][0]:
                    best[number] = float(squared[0]), position, (int(there[0, 0]), int(there[0, 1]))
        return [
            Match(
                levels,
                (1 / shape[1], 1 / shape[0]),
                _centre(cell, shape),
                position,
                _centre(there, shape),
                window_around(cell, correspondence.window, shape),
                correspondence.measure,
                correspondence.measured(squared),
            )
            for levels, shape, cell, (squared, position, there) in zip(
                correspondence.grid_levels(), shapes, cells, best, strict=True
            )
        ]

    @cached_property
    def _training(self) -> Training:
        return training_images(self.part, ())

    @cached_property
    def _read(self) -> Callable[[str], Pyramid]:
        return self.part.pyramids(self.correspondence.levels)


def _centre(cell: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float]:
    return (cell[1] + 0.5) / shape[1], (cell[0] + 0.5) / shape[0]
