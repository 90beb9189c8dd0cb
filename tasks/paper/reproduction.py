"""Our runs beside the paper's figures for SPADE: the settings that its tables need, and the joined rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from storage.results.metrics import BY_NAME
from tasks.core.grid import Point
from tasks.core.networks.traits import taken_level
from tasks.paper.figures import (
    AVERAGE,
    CAMPUS,
    IMAGES,
    Figure,
    figures,
    other_images,
    other_settings,
    published_settings,
)

Row = Mapping[str, Any]
THESE = "average of these"
_VARIED = ("levels", "k_image", "k_gallery", "gallery")  # of SPADE, from table to table; the protocol, too
_COLUMNS = {"image_rocauc": "image_rocauc_embedding", "pixel_rocauc": "pixel_rocauc", "pro": "pro"}


@dataclass(frozen=True)
class PublishedPoint:
    """A run: its row of the runs table, and those of its categories table by category."""

    run: Row
    categories: Mapping[str, Row]


def paper_figures(*, campus: bool) -> list[Figure]:
    """What the paper prints for SPADE, table by table: tables 4 and 5 of the campus, or the others."""
    found = [figure for figure in figures() if figure.source == "paper" and figure.method.startswith("SPADE")]
    chosen = [figure for figure in found if (figure.category == CAMPUS) == campus]
    return sorted(chosen, key=lambda figure: figure.table or 0)


def point_of(figure: Figure, base: Point) -> Point:
    """`base` with the protocol, levels, K and gallery that a figure was measured with."""
    published = published_settings(figure)
    configuration = replace(base.configuration, protocol=published["protocol"])
    levels = tuple(map(taken_level, published["levels"]))
    every = levels == configuration.levels  # which is what no levels mean
    varied = {name: published[name] for name in _VARIED} | {"levels": () if every else levels}
    (method,) = base.methods
    return Point(
        configuration,
        (replace(method, **varied),),
    )


def points_needed(published: Sequence[Figure], base: Point) -> list[Point]:
    """The different settings that the figures need, in the order of the tables."""
    return list(dict.fromkeys(point_of(figure, base) for figure in published))


def reproduction_rows(
    published: Sequence[Figure],
    base: Point,
    points: Mapping[Point, PublishedPoint],
    of_dataset: Collection[str],
) -> list[dict[str, Any]]:
    """One row a published figure: ours, the difference, or why there is none; then averages of the same.

    `points` are by the `point_of` the figures; the categories of their rows are named as the figures', and
    `of_dataset` are all that the dataset has. Where only some of the paper's categories have a value, the
    average has no difference, and a row "average of these" takes both means over the same categories.
    """
    rows = []
    for figure in published:
        point = points[point_of(figure, base)]
        if figure.category != AVERAGE:
            rows.append(_row(figure, point, **_of_category(figure, point, of_dataset)))
            continue
        ours = {name: value for name in IMAGES if (value := _value(point, name, figure.metric)) is not None}
        rows.append(_row(figure, point, **_of_average(figure, point, ours)))
        theirs = {other.category: other.value for other in published if _alike(other, figure)}
        if 0 < len(ours) < len(IMAGES) and ours.keys() <= theirs.keys():
            same = replace(figure, category=THESE, value=float(np.mean([theirs[name] for name in ours])))
            rows.append(_row(same, point, **_of_average(figure, point, ours) | {"reason": None}))
    return rows


def _row(
    figure: Figure,
    point: PublishedPoint,
    *,
    ours: float | None,
    categories: int,
    reason: str | None,
    differs: list[str],
) -> dict[str, Any]:
    return {
        "table": figure.table,
        "metric": figure.metric,
        "category": figure.category,
        "method": figure.method,
        "k": figure.k,
        "published": figure.value,
        "ours": ours,
        "difference": None if reason is not None or ours is None else ours - figure.value,
        "categories": categories,
        "point": point.run["run"],
        "reason": reason,
        "differs": differs if ours is not None else [],
    }


def _of_category(figure: Figure, point: PublishedPoint, of_dataset: Collection[str]) -> dict[str, Any]:
    ours, row = _value(point, figure.category, figure.metric), point.categories.get(figure.category)
    reason = None
    if row is None:
        there = figure.category in of_dataset
        reason = "not asked for" if there else "category not in the dataset"
    elif ours is None:
        reason = row["reason"] or BY_NAME[_COLUMNS[figure.metric]].reason(row)
    return {
        "ours": ours,
        "categories": int(ours is not None),
        "reason": reason,
        "differs": [*other_settings(figure, point.run), *_images([figure.category], point)],
    }


def _of_average(figure: Figure, point: PublishedPoint, ours: Mapping[str, float]) -> dict[str, Any]:
    whole = len(ours) == len(IMAGES)
    return {
        "ours": float(np.mean(list(ours.values()))) if ours else None,
        "categories": len(ours),
        "reason": None if whole else f"{len(ours)} of {len(IMAGES)} categories",
        "differs": [*other_settings(figure, point.run), *_images(ours, point)],
    }


def _value(point: PublishedPoint, category: str, metric: str) -> float | None:
    value: float | None = point.categories.get(category, {}).get(_COLUMNS[metric])
    return value


def _images(categories: Collection[str], point: PublishedPoint) -> Iterator[str]:
    """Which of these categories have other images than MVTec AD's, and how many."""
    for category in categories:
        found = point.categories.get(category)
        text = other_images(found) if found is not None and category in IMAGES else None
        if text is not None:
            yield f"{category}: {text}"


def _alike(figure: Figure, average: Figure) -> bool:
    names = ("table", "metric", "method", "k")
    return figure.category != AVERAGE and all(
        getattr(figure, name) == getattr(average, name) for name in names
    )
