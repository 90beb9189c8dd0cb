"""Runs in a store: published, found, accepted.

A run is its folder of Parquet tables once the `run` table is there, which is written last: a reader never
sees half a run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import DamagedStoreError, StoreError
from storage.results.index import ACCEPTED, Index, announce, changing, fold_if_free
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from storage.store.tables import parse_table, table_bytes
from storage.store.under_way import pruning


def earlier_runs(store: Store, run_id: str, record: Mapping[str, Any]) -> list[str]:
    """Good runs of the same dataset, configuration and a method that ended before this one, the last first.

    A run is good if it is complete, and nothing in it got worse or that was accepted. `record` is the row of
    the run's own table; a run whose record is damaged is left out.
    """
    columns = ("dataset", "configuration_key", "methods", "finished", "status", "worse")
    runs = Index(store).runs(columns, sound=True)
    if not runs.num_rows:
        return []
    alike = (
        (pc.field("dataset") == record["dataset"])
        & (pc.field("configuration_key") == record["configuration_key"])
        & (pc.field("finished") < record["finished"])
        & (pc.field("status") == "complete")
        & (pc.field("run") != run_id)
    )
    return [
        row["run"]
        for row in reversed(runs.filter(alike).to_pylist())
        if not set(row["methods"]).isdisjoint(record["methods"])
        and (not row.get("worse") or is_accepted(store, row))
    ]


def is_accepted(store: Store, row: Mapping[str, Any]) -> bool:
    """Whether a run is accepted, by its row of `Index.runs`, or where that does not tell, by its folder."""
    known = row.get(ACCEPTED)
    return store.exists(store.acceptance(row["run"])) if known is None else bool(known)


def accept(store: Store, run_id: str) -> None:
    """Let later runs be compared with this one, although something in it got worse.

    Raises:
        StoreError: no such run.
    """
    with _marking(store, run_id):
        store.write(store.acceptance(run_id), b"")


def pin(store: Store, run_id: str, why: str) -> None:
    """Keep a run, and all that it needs, whatever a registry's [retention] says.

    Raises:
        StoreError: no such run.
    """
    with _marking(store, run_id):
        store.write(store.pin(run_id), why.encode())


def unpin(store: Store, run_id: str) -> None:
    """Let a run go again as others do.

    Raises:
        StoreError: no such run, or it is not pinned.
    """
    with _marking(store, run_id):
        if not store.exists(store.pin(run_id)):
            raise StoreError(f"run {run_id} in {store.root} is not pinned: spade usage says which are")
        store.remove([store.pin(run_id)])


@contextmanager
def _marking(store: Store, run_id: str) -> Iterator[None]:
    """Within this the run is there, and is not removed."""
    with pruning(store):
        if not store.exists(store.run_table(run_id, "run")):
            raise StoreError(f"no run {run_id!r} in {store.root}: spade results --table runs names them")
        with changing(store, run_id):
            yield


def published_fingerprint(store: Store, run_id: str) -> tuple[str, str] | None:
    """Fingerprint and status of a published run, or None."""
    path = store.run_table(run_id, "run")
    if not store.exists(path):
        return None
    row = read_tables(store, [path])[0].to_pylist()[0]
    return row["fingerprint"], row["status"]


def publish(store: Store, run_id: str, record: pa.Table, tables: Mapping[str, pa.Table]) -> None:
    """Write a run's tables, then the record that publishes them; a run of that id is withdrawn first.

    It takes as many requests whatever the number of runs; now and then it folds what was published since.
    """
    is_due = announce(store, run_id)
    store.write_all({store.run_table(run_id, name): table_bytes(table) for name, table in tables.items()})
    store.write(store.run_table(run_id, "run"), table_bytes(record))
    if is_due:
        fold_if_free(store)


def publish_interrupted(store: Store, prefix: str) -> list[str]:
    """Publish the records of the runs that began and did not end, whose ids have this prefix; these ids.

    Only for who knows that none of them is under way. What they computed stays, and is found by content.
    """
    found = [folder.name for folder in store.entries(store.job()) if folder.name.startswith(prefix)]
    for run_id in found:
        record = store.job(run_id, "run")
        if store.exists(record) and not store.exists(store.run_table(run_id, "run")):
            announce(store, run_id)
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
