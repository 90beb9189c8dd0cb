"""The methods of a run compared in pairs: each metric of each category, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import pyarrow as pa

from storage.results.metrics import COMPARED, Metric
from storage.results.schemas import METHOD_COMPARISONS
from storage.store.store import Store
from storage.store.tables import table_of
from tasks.compare.runs import Side
from tasks.compare.verdicts import (
    Category,
    Row,
    corrected,
    image_difference,
    judged,
    pixel_differences_of,
)
from tasks.core.metrics.intervals import Difference


def compare_methods(store: Store, side: Side, *, seed: int = 0) -> pa.Table:
    """All pairs of methods of a run as a table of METHOD_COMPARISONS; `seed` is that of the bootstrap.

    A difference counts, however small, if its 95 % interval excludes 0: DeLong's for image ROCAUC, a paired
    bootstrap over images for metrics of pixels. Intervals and verdicts are of each pair, `p_adjusted` is of
    all pairs and categories at once, metric by metric.
    """
    by_category: dict[str, list[Category]] = {}
    for (name, _), category in side.categories.items():
        by_category.setdefault(name, []).append(category)
    rows: list[Row] = []
    for categories in by_category.values():
        for pair in combinations(categories, 2):
            rows += _compare(store, pair, seed)
    return table_of(corrected(rows), METHOD_COMPARISONS)


def _compare(store: Store, pair: Sequence[Category], seed: int) -> Iterator[Row]:
    """The rows of one pair of methods."""
    method, reference = pair
    about = {
        "dataset": method.row["dataset"],
        "category": method.row["category"],
        "method": method.row["method"],
        "reference": reference.row["method"],
    }
    pixel: dict[str, Difference | str] = {}
    for metric in COMPARED:
        missing = [each for each in pair if each.row.get(metric.name) is None]
        found: Difference | str
        if missing:
            found = _why(missing[0], metric)
        elif metric.level == "image":
            found = image_difference(method, reference, metric)
        else:
            pixel = pixel or pixel_differences_of(store, method, reference, seed)
            found = pixel[metric.name]
        value, other = (each.row.get(metric.name) for each in pair)
        yield about | {"metric": metric.name} | judged(value, other, found, 0.0)


def _why(category: Category, metric: Metric) -> str:
    """Why a category has no such metric by its method."""
    reason = metric.reason(category.row)
    return category.failure or f"{category.row['method']} has no such metric" + (
        f": {reason}" if reason else ""
    )
