"""How the methods of some runs stand: metrics with intervals, ranks over categories, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from storage.results.metrics import COMPARED
from storage.results.reader import Results
from tasks.compare.costs import UNKNOWN, costs
from tasks.core.metrics.friedman import critical_difference

Row = dict[str, Any]
_ENOUGH = 10  # categories: with fewer the critical difference is rough (Demšar 2006, section 3.2.2)


def standings(results: Results, runs: Sequence[str]) -> list[Row]:
    """One row a category and method of the runs: each metric with its interval, seconds and memory.

    Seconds and memory are as in `costs.py`.
    """
    rows = []
    for run in dict.fromkeys(map(results.resolve, runs)):
        of_methods = costs(results, run)
        for row in results.rows("categories", run):
            names = ("run", "dataset", "category", "status", "reason", "method")
            columns = [name for each in COMPARED for name in (each.name, each.low, each.high)]
            rows.append(
                {name: row.get(name) for name in names}
                | {name: row.get(name) for name in columns}
                | of_methods.get((row["category"], row["method"]), UNKNOWN)
            )
    return rows


def pairs(results: Results, runs: Sequence[str]) -> list[Row]:
    """One row a category, metric and pair of methods of the runs, as in their `method_comparisons`."""
    return [
        row
        for run in dict.fromkeys(map(results.resolve, runs))
        for row in results.rows("method_comparisons", run)
    ]


def ranks(rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """One row a metric and method of standings: the mean rank over the categories where all have the metric.

    Friedman's test and Nemenyi's critical difference as in `friedman.py`; a method that
    has the metric in no category is left out.
    """
    found: list[Row] = []
    for metric in (each.name for each in COMPARED):
        cells: dict[tuple[str, str], dict[str, float]] = {}
        for row in rows:
            if row[metric] is not None:
                cells.setdefault((row["dataset"], row["category"]), {})[row["method"]] = row[metric]
        methods = [name for name in dict.fromkeys(row["method"] for row in rows) if _has(cells, name)]
        table = [[each[name] for name in methods] for each in cells.values() if each.keys() >= set(methods)]
        if len(methods) < 2 or not table:
            continue
        result = critical_difference(np.array(table))
        note = None
        if len(table) < _ENOUGH:
            note = f"{len(table)} categories are too few to be sure: the test and the difference are rough"
        found += [
            {
                "metric": metric,
                "method": name,
                "mean": float(np.mean([values[number] for values in table])),
                "mean_rank": float(result.mean_ranks[number]),
                "critical_difference": result.difference,
                "friedman_p": result.p_value,
                "as_good_as_the_best": number in result.groups[0],
                "categories": len(table),
                "note": note,
            }
            for number, name in enumerate(methods)
        ]
    return found


def _has(cells: Mapping[Any, Mapping[str, float]], method: str) -> bool:
    return any(method in each for each in cells.values())
