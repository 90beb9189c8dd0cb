"""The points of a sweep among the published runs.

Each point is a run of its own, with every table; its record names the sweep and how many points that has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import StoreError
from storage.results.schemas import AVERAGED, RUN, SCORING_SETTINGS
from storage.store.location import Location


def is_point(record: pa.Table) -> bool:
    """Whether a run is a point of a sweep."""
    return "sweep" in record.column_names and bool(record["sweep"][0].is_valid)  # an older run has none


def points_of(
    runs: Sequence[tuple[str, pa.Table]], sweep: str, store: Location
) -> list[tuple[str, dict[str, Any]]]:
    """Ids and records of a sweep's points, in the order of its grid; `runs` in the order of their ends.

    Raises:
        StoreError: no such sweep, or one of which points are missing.
    """
    sweeps: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for run_id, record in runs:
        if is_point(record):
            row = record.select([name for name in record.column_names if name != "versions"]).to_pylist()[0]
            sweeps.setdefault(row["sweep"], []).append((run_id, row))
    whole = [name for name, points in sweeps.items() if len(points) == points[0][1]["sweep_points"]]
    if sweep == "latest" and whole:
        sweep = max(whole, key=lambda name: sweeps[name][-1][1]["finished"])
    if sweep in whole:
        return sorted(sweeps[sweep], key=lambda point: point[0])
    if sweep in sweeps:
        raise StoreError(
            f"the sweep {sweep} in {store} has {len(sweeps[sweep])} of {sweeps[sweep][0][1]['sweep_points']} "
            f"points so far: finish it with the same `spade sweep --run-id {sweep}`"
        )
    has = f"it has {', '.join(whole)}" if whole else "start one with `spade sweep`"
    raise StoreError(f"no finished sweep {sweep!r} in {store}: {has}")


def with_settings(categories: pa.Table, record: Mapping[str, Any]) -> pa.Table:
    """A categories table with the settings of its run, as asked for, in front of the metrics."""
    table = categories.drop_columns([name for name in SCORING_SETTINGS if name in categories.column_names])
    for place, name in enumerate(SCORING_SETTINGS, start=table.column_names.index("category") + 1):
        value = ",".join(str(stride) for stride in record[name]) if name == "levels" else record[name]
        kind = pa.string() if name == "levels" else RUN.field(name).type
        table = table.add_column(place, name, pa.array([value] * table.num_rows, kind))
    return table


def averages(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a point of a sweep, from rows a point and category: the mean of each metric that some have."""
    points: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        points.setdefault(row["run"], []).append(row)
    return [
        {"run": run_id, "dataset": of_run[0]["dataset"], "categories": len(of_run)}
        | {name: of_run[0][name] for name in SCORING_SETTINGS}
        | {name: _mean([row[name] for row in of_run if row[name] is not None]) for name in AVERAGED}
        for run_id, of_run in points.items()
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
