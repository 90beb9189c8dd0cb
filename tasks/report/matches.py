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
from tasks.core.matching.correspondence import hottest_cell, matched_grids, nearest_patches
from tasks.report.source import Source

Point = tuple[float, float]


@dataclass(frozen=True)
class Match:
    """A patch and its best match; points are x and y of a patch's centre, shares of the evaluated area.

    `cell` is a patch's side as such a share, `strides` of the levels that were compared.
    """

    strides: tuple[int, ...]
    cell: float
    at: Point
    neighbor: ImageFile
    there: Point
    squared_distance: float


@dataclass(frozen=True)
class _Query:
    """The most anomalous patch of a test image on each matched grid: cells, grids' shapes, vectors (C,)."""

    cells: list[tuple[int, int]]
    shapes: list[tuple[int, int]]
    vectors: list[NDArray[np.float32]]


def matches(
    source: Source,
    scores: Scores,
    entries: Sequence[ImageFile],
    galleries: Mapping[str, Sequence[ImageFile]],
    pool: Executor,
) -> dict[str, list[Match] | str]:
    """The matches of each test image by image_id, one a matched grid; or why there are none.

    `galleries` gives the training images that each test image was compared with. One training image a thread
    is in memory at a time.
    """
    asked = pool.map(lambda entry: _query(source, scores, entry), entries)
    prepared = {entry.image_id: query for entry, query in zip(entries, asked, strict=True)}
    found: dict[str, list[Match] | str] = {
        name: query if isinstance(query, str) else [] for name, query in prepared.items()
    }
    queries = {name: query for name, query in prepared.items() if not isinstance(query, str)}
    askers: dict[str, list[str]] = defaultdict(list)
    training = {entry.image_id: entry for name in queries for entry in galleries[name]}
    for name in queries:
        for entry in galleries[name]:
            askers[entry.image_id].append(name)
    answers = pool.map(
        lambda entry: _answers(source, entry, {name: queries[name] for name in askers[entry.image_id]}),
        training.values(),
    )
    for answer in answers:
        for name, offered in answer.items():
            found[name] = _better(found[name], offered)
    return found


def _query(source: Source, scores: Scores, entry: ImageFile) -> _Query | str:
    values, pyramid = source.anomaly_map(scores, entry), source.pyramid(entry)
    for reason in (values, pyramid):
        if isinstance(reason, str):
            return reason
    grids = _grids(source, pyramid)  # type: ignore[arg-type]  # a text was returned above
    shapes = [(grid.shape[0], grid.shape[1]) for grid in grids]
    cells = [hottest_cell(values, shape) for shape in shapes]  # type: ignore[arg-type]
    return _Query(cells, shapes, [grid[cell] for grid, cell in zip(grids, cells, strict=True)])


def _answers(source: Source, entry: ImageFile, queries: Mapping[str, _Query]) -> dict[str, list[Match] | str]:
    """The best matches of some queries within one training image."""
    pyramid = source.pyramid(entry)
    if isinstance(pyramid, str):
        return dict.fromkeys(queries, pyramid)
    found: dict[str, list[Match] | str] = {}
    levels = source.configuration.levels
    strides = [levels] if source.configuration.fusion == "concatenate" else [(stride,) for stride in levels]
    for number, grid in enumerate(_grids(source, pyramid)):
        vectors = np.stack([query.vectors[number] for query in queries.values()])
        squared, cells = nearest_patches(vectors, grid)
        for (name, query), distance, cell in zip(queries.items(), squared, cells, strict=True):
            shape = query.shapes[number]
            listed = found.setdefault(name, [])
            assert isinstance(listed, list)
            listed.append(
                Match(
                    tuple(strides[number]),
                    1 / shape[1],
                    _point(query.cells[number], shape),
                    entry,
                    _point((int(cell[0]), int(cell[1])), shape),
                    float(distance),
                )
            )
    return found


def _grids(source: Source, pyramid: list[NDArray[np.generic]]) -> list[NDArray[np.float32]]:
    settings = source.configuration
    return matched_grids(pyramid, settings.fusion, settings.upsampling)


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
