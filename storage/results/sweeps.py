"""The points of a sweep among the published runs.

Each point is a run of its own, with every table; its record names the sweep and how many points that has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import StoreError
from storage.results.metrics import AVERAGED
from storage.store.location import Location


def points_of(records: pa.Table, sweep: str, store: Location) -> pa.Table:
    """Those of the records of runs, in the order of their ends, that are a sweep's points; by their ids.

    Raises:
        StoreError: no such sweep, or one of which points are missing.
    """
    points = records.filter(pc.field("sweep").is_valid())
    names = [name for name in ("sweep", "sweep_points") if name in points.column_names]
    sweeps = points.select(names).to_pylist()
    found = Counter(row["sweep"] for row in sweeps)
    wanted = {row["sweep"]: row["sweep_points"] for row in sweeps}
    whole = [name for name, count in found.items() if count == wanted[name]]
    if sweep == "latest" and whole:
        sweep = next(row["sweep"] for row in reversed(sweeps) if row["sweep"] in whole)
    if sweep in whole:
        return points.filter(pc.field("sweep") == sweep).sort_by("run")
    if sweep in found:
        raise StoreError(
            f"the sweep {sweep} in {store} has {found[sweep]} of {wanted[sweep]} "
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
