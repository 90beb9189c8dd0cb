"""The methods of a run compared in pairs: each metric of each category, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pyarrow as pa

from storage.layout import Store
from storage.schemas import COMPARED, METHOD_COMPARISONS
from storage.tables import table_of
from tasks.compare import Side
from tasks.core.uncertainty import pixel_intervals, rocauc_difference
from tasks.verdicts import Category, Row, method_of, profile_of, verdict

_PIXEL = {"pixel_rocauc": "rocauc", "pro": "pro"}


def compare_methods(store: Store, side: Side, *, seed: int = 0) -> pa.Table:
    """All pairs of methods of a run as a table of METHOD_COMPARISONS; `seed` is that of the bootstrap.

    A difference counts, however small, if its 95 % interval excludes 0: DeLong's for image ROCAUC, a paired
    bootstrap over images for pixel ROCAUC and PRO. Intervals are of each pair, not of all pairs at once.
    """
    by_category: dict[str, list[Category]] = {}
    for (name, _), category in side.categories.items():
        by_category.setdefault(name, []).append(category)
    rows: list[Row] = []
    for categories in by_category.values():
        for pair in combinations(categories, 2):
            rows += _compare(store, pair, seed)
    return table_of(rows, METHOD_COMPARISONS)


def _compare(store: Store, pair: Sequence[Category], seed: int) -> Iterator[Row]:
    """The rows of one pair of methods."""
    method, reference = pair
    about = {
        "dataset": method.row["dataset"],
        "category": method.row["category"],
        "method": method_of(method.row),
        "reference": method_of(reference.row),
    }
    pixel = _pixel_rows(store, method, reference, seed)
    for metric in COMPARED:
        missing = [each for each in pair if each.row.get(metric) is None]
        if missing:
            found = _unknown(_why(missing[0], metric))
        else:
            found = pixel[metric] if metric in _PIXEL else _image_row(method, reference, metric)
        yield about | {"metric": metric} | found


def _why(category: Category, metric: str) -> str:
    """Why a category has no such metric by its method."""
    reason = category.row.get("image_reason" if metric == "image_rocauc_embedding" else "pixel_reason")
    return category.failure or f"{method_of(category.row)} has no such metric" + (
        f": {reason}" if reason else ""
    )


def _image_row(method: Category, reference: Category, metric: str) -> Row:
    column = metric.replace("image_rocauc", "score")
    scores, anomalous = method.scores(column)
    others, _ = reference.scores(column)
    try:
        found = rocauc_difference(scores, others, anomalous)
    except ValueError as error:
        return _unknown(f"chance cannot be told: {error}")
    interval = found.low, found.high
    return _row(found.value, interval) | {"p_value": found.p_value}


def _pixel_rows(store: Store, method: Category, reference: Category, seed: int) -> dict[str, Row]:
    """Rows by metric of those that both have."""
    names = {
        metric: name
        for metric, name in _PIXEL.items()
        if method.row.get(metric) is not None and reference.row.get(metric) is not None
    }
    if not names:
        return {}
    differences = {name: method.row[metric] - reference.row[metric] for metric, name in names.items()}
    profile, other = profile_of(store, method), profile_of(store, reference)
    if profile is None or other is None:
        return {metric: _unknown("scores are no longer in the store") for metric in names}
    found = pixel_intervals(differences, profile, other, seed=seed)
    if found is None:
        reason = "chance cannot be told: one kind of test image, with or without a region, has a single one"
        return {metric: _unknown(reason) for metric in names}
    return {metric: _row(differences[name], found[name]) for metric, name in names.items()}


def _row(difference: float, interval: tuple[float, float]) -> Row:
    low, high = interval
    ends = {"difference": difference, "low": low, "high": high}
    return ends | {"verdict": verdict(difference, interval, 0.0)}


def _unknown(reason: str) -> Row:
    return {"verdict": "not comparable", "reason": reason}
