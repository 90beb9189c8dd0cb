"""The points of a sweep among the published runs.

Each point is a run of its own, with every table; its record names the sweep and how many points that has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from storage.errors import StoreError
from storage.results.metrics import AVERAGED
from storage.store.location import Location


def is_point(record: pa.Table) -> bool:
    """Whether a run is a point of a sweep."""
    return bool(record["sweep"][0].is_valid)


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


def with_settings(categories: pa.Table, record: pa.Table) -> pa.Table:
    """A categories table with the settings of scoring of its run, as asked for, in front of the metrics."""
    names = scoring_settings(record.schema)
    table = categories.drop_columns([name for name in names if name in categories.column_names])
    for place, name in enumerate(names, start=table.column_names.index("method") + 1):
        field, value = record.schema.field(name), record[name][0].as_py()
        if pa.types.is_list(field.type):
            field = pa.field(name, pa.string(), metadata=field.metadata)
            value = None if value is None else ",".join(map(str, value))
        table = table.add_column(place, field, pa.array([value] * table.num_rows, field.type))
    return table


def scoring_settings(schema: pa.Schema) -> list[str]:
    """The columns of a runs table that hold settings of scoring."""
    return [field.name for field in schema if (field.metadata or {}).get(b"setting") in (b"maps", b"method")]


def averages(rows: Iterable[Mapping[str, Any]], settings: Sequence[str]) -> list[dict[str, Any]]:
    """One row a point and method of a sweep, from rows a category: the mean of each metric that some have."""
    points: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        points.setdefault((row["run"], row["method"]), []).append(row)
    return [
        {"run": run, "dataset": found[0]["dataset"], "method": method, "categories": len(found)}
        | {name: found[0][name] for name in settings}
        | {
            each.name: _mean([row[each.name] for row in found if row[each.name] is not None])
            for each in AVERAGED
        }
        for (run, method), found in points.items()
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
