"""A run against the one before it, and against published figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storage.results.metrics import BY_NAME, SHOWN
from storage.results.schemas import INTERRUPTED
from tasks.core.methods.spade import Spade
from tasks.paper.figures import AVERAGE, IMAGES, Figure, other_images, other_settings, published
from tasks.report.source import Row, Source
from tasks.run.conventions import CONVENTIONS, categories_of, measured
from tasks.run.tables import RUN, setting_values

PUBLISHED_BY: Mapping[str, str] = {  # methods of published figures: who measured them
    "SPADE": "paper",
    "SPADE-pytorch": "SPADE-pytorch",
    "SPADE-fast": "SPADE-fast",
}
_WEIGHTS = {"weights": "weights_sha256"}  # a file may lie anywhere: its content counts
_SETTINGS = [  # those of the method are in its label
    _WEIGHTS.get(column.name, column.name)
    for column in RUN
    if column.metadata.get(b"setting") in (b"features", b"maps")
]


@dataclass(frozen=True)
class Previous:
    """An earlier run on the same dataset, what differs, and the metrics of both by category."""

    run: Row
    differences: list[str]
    rows: list[dict[str, object]]


@dataclass(frozen=True)
class Reference:
    """A category and metric of the run beside published values: a figure or None by its method.

    `values` are the run's as the code that published a figure computes them, by its method; the run's own
    where that has no convention here, or cannot be applied to the run.
    """

    category: str
    metric: str
    value: float
    figures: dict[str, Figure | None]
    values: dict[str, float]


def previous(source: Source) -> Previous | None:
    """The last earlier run of the dataset by the method, with the same settings if there is one.

    None where there is none; a run that was interrupted has nothing to compare with.
    """
    runs = [
        row
        for row in source.results.runs_of(source.run["dataset"])
        if row["status"] != INTERRUPTED and source.label in row["methods"]
    ]
    earlier = runs[: next(at for at, row in enumerate(runs) if row["run"] == source.run_id)]
    if not earlier:
        return None
    equal = [row for row in earlier if not _changed(row, source.run)]
    before = (equal or earlier)[-1]
    found = [
        f"{name}: {before[name]} before, {source.run[name]} now" for name in _changed(before, source.run)
    ]
    if before["data_digest"] != source.run["data_digest"]:
        found.append("the images, labels or masks are not the same")
    old = {row["category"]: row for row in source.results.rows("categories", before["run"], source.label)}
    rows = []
    for row in source.categories:
        if row["category"] in old:
            pairs = {name: (old[row["category"]].get(name), row.get(name)) for name in source.metrics}
            rows.append({"category": row["category"], "pairs": pairs})
    return Previous(before, found, rows)


def references(source: Source) -> list[Reference]:
    """Every category and metric that has a published value, and the average where all categories were run."""
    found = []
    rows = [row for row in source.categories if row["status"] == "ok" and row["category"] in IMAGES]
    conventional = {row["category"]: dict[tuple[str, str], float]() for row in rows}
    for category in categories_of(str(source.store.root), source.run, source.label) if rows else ():
        name = category.row["category"]
        for method, code in PUBLISHED_BY.items():
            if name in conventional and code in CONVENTIONS:
                for metric, (value, _) in measured(category, code).items():
                    if value is not None:
                        conventional[name][method, metric] = value
    for row in rows:
        found += _references(row["category"], row, source, conventional[row["category"]])
    if {row["category"] for row in rows} == set(IMAGES) == {row["category"] for row in source.categories}:
        means = {name: row["mean"] for name, row in source.summary.items()}
        every = set.intersection(*(set(values) for values in conventional.values()))
        of_average = {key: float(np.mean([each[key] for each in conventional.values()])) for key in every}
        found += _references(AVERAGE, means, source, of_average)
    return found


@dataclass(frozen=True)
class PublishedTable:
    """What is published for a category: columns (name: label) and, by method, values of columns."""

    columns: dict[str, str]
    rows: dict[str, dict[str, float]]


def published_table(category: str) -> PublishedTable | None:
    """Every published value of a category of MVTec AD; None for any other name."""
    if category not in IMAGES:
        return None
    rows: dict[str, dict[str, float]] = {}
    for figure in published(category):
        rows.setdefault(figure.name, {})[figure.column] = figure.value
    return PublishedTable({name: SHOWN[name] for name in _columns(published(category))}, rows)


def warnings(source: Source, found: list[Reference]) -> dict[str, list[str]]:
    """Why published values are not comparable: by who measured them, and by category for other images."""
    run = _as_shown(source)
    reasons: dict[str, list[str]] = {name: [] for name in PUBLISHED_BY.values()}
    for reference in found:
        for method, figure in reference.figures.items():
            listed = reasons[PUBLISHED_BY[method]]
            found_here = other_settings(figure, run) if figure else []
            listed += [reason for reason in found_here if reason not in listed]
    compared = {reference.category for reference in found}
    for row in source.categories:
        images = other_images(row) if row["category"] in compared else None
        if images is not None:
            reasons[row["category"]] = [images]
    return {name: listed for name, listed in reasons.items() if listed}


def _as_shown(source: Source) -> dict[str, Any]:
    """The run's row, as if it had the shown method alone: SPADE's settings are null where that is another."""
    spade = [method for method in (source.method,) if isinstance(method, Spade)]
    none = dict.fromkeys(column.name for column in RUN if column.metadata.get(b"setting") == b"method")
    return {**source.run, **none, **setting_values(source.configuration, spade), "methods": [source.label]}


def _references(
    name: str, row: Row, source: Source, conventional: Mapping[tuple[str, str], float]
) -> list[Reference]:
    figures = published(name)
    spade = source.method if isinstance(source.method, Spade) else Spade()
    found = []
    for column in _columns(figures):
        k = spade.k_image if BY_NAME[column].level == "image" else spade.k_gallery
        of_metric = [figure for figure in figures if figure.column == column]
        chosen = {
            method: _nearest([figure for figure in of_metric if figure.method == method], k)
            for method in PUBLISHED_BY
        }
        if row.get(column) is not None and any(chosen.values()):
            values = {method: conventional.get((method, column), row[column]) for method in chosen}
            found.append(Reference(name, column, row[column], chosen, values))
    return found


def _columns(figures: Sequence[Figure]) -> list[str]:
    """The shown metrics that figures are of."""
    found = {figure.column for figure in figures}
    return [name for name in SHOWN if name in found]


def _nearest(figures: list[Figure], k: int) -> Figure | None:
    """The figure whose K is the nearest to the run's."""
    return min(figures, key=lambda figure: abs((figure.k or k) - k), default=None)


def _changed(before: Row, now: Row) -> list[str]:
    return [name for name in _SETTINGS if before[name] != now[name]]
