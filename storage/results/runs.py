"""Runs in a store: published, found, accepted.

A run is its folder of Parquet tables once the `run` table is there, which is written last: a reader never
sees half a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.errors import DamagedStoreError
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from storage.store.tables import parse_table, read_table, table_bytes

INTERRUPTED = "interrupted"  # status of a run that died: it has a record, and no other table


def published_runs(store: Store) -> list[str]:
    """Ids of the runs whose run table is there."""
    return [folder.name for folder in store.holding(store.run(), store.run_table("", "run").name)]


def earlier_runs(store: Store, run_id: str, record: Mapping[str, Any]) -> list[str]:
    """Good runs of the same dataset, configuration and a method that ended before this one, the last first.

    A run is good if it is complete, and nothing in it got worse or that was accepted. `record` is the row of
    the run's own table; a run whose record is damaged is left out.
    """
    found = []
    for other in published_runs(store):
        try:
            row = read_table(store.run_table(other, "run")).to_pylist()[0]
        except (OSError, pa.ArrowException):
            continue
        alike = all(row[name] == record[name] for name in ("dataset", "configuration_key"))
        alike = alike and not set(row["methods"]).isdisjoint(record["methods"])
        before = other != run_id and row["finished"] < record["finished"]
        good = row["status"] == "complete" and (not row.get("worse") or store.exists(store.acceptance(other)))
        if alike and before and good:
            found.append((row["finished"], other))
    return [other for _, other in sorted(found, reverse=True)]


def accept(store: Store, run_id: str) -> None:
    """Let later runs be compared with this one, although something in it got worse."""
    store.write(store.acceptance(run_id), b"")


def published_fingerprint(store: Store, run_id: str) -> tuple[str, str] | None:
    """Fingerprint and status of a published run, or None."""
    path = store.run_table(run_id, "run")
    if not store.exists(path):
        return None
    row = read_tables(store, [path])[0].to_pylist()[0]
    return row["fingerprint"], row["status"]


def publish(store: Store, run_id: str, record: pa.Table, tables: Mapping[str, pa.Table]) -> None:
    """Write a run's tables, then the record that publishes them; a run of that id is withdrawn first."""
    store.remove([store.run_table(run_id, "run")])
    for name, table in tables.items():
        store.write(store.run_table(run_id, name), table_bytes(table))
    store.write(store.run_table(run_id, "run"), table_bytes(record))


def publish_interrupted(store: Store, prefix: str) -> list[str]:
    """Publish the records of the runs that began and did not end, whose ids have this prefix; these ids.

    Only for who knows that none of them is under way. What they computed stays, and is found by content.
    """
    found = [folder.name for folder in store.entries(store.job()) if folder.name.startswith(prefix)]
    for run_id in found:
        record = store.job(run_id, "run")
        if store.exists(record) and not store.exists(store.run_table(run_id, "run")):
            store.write(store.run_table(run_id, "run"), read_bytes(record))
        store.remove([store.job(run_id)])
    return found


def read_tables(store: Store, paths: Sequence[Location]) -> list[pa.Table]:
    """Tables by their paths.

    Raises:
        DamagedStoreError: one is absent or damaged.
    """
    try:
        contents = store.read_all(paths)
    except OSError as error:
        raise DamagedStoreError(store.run(), error, store.root) from error
    tables = []
    for path, content in zip(paths, contents, strict=True):
        try:
            tables.append(parse_table(content))
        except (OSError, pa.ArrowException) as error:
            raise DamagedStoreError(path, error, store.root) from error
    return tables
