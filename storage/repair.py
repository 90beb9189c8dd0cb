"""Find what is damaged in a store, and drop it, so that the next run computes it anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from storage.results.index import discrepancy, published_runs, rebuild, remove_runs
from storage.store.sealed import damage
from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.tables import read_table


@dataclass(frozen=True)
class Finding:
    """What is of no use, why, and what drops it."""

    what: str
    reason: str
    drop: Callable[[], None]


def examine(store: Store) -> list[Finding]:
    """Read all that the store holds, and report what is damaged or was left by an interrupted writer."""
    findings = []
    folders = (store.features(), store.scores(), store.corrupted())
    groups = [*(group for folder in folders for group in store.entries(folder)), store.looks()]
    for group in groups:
        segments = Segments(store, group)
        for name, reason in segments.damaged():
            what = f"segment {group / 'segments' / name}"
            findings.append(Finding(what, reason, partial(segments.drop, [name])))
        for name in segments.unrecorded():
            path = group / "segments" / name
            drop = partial(store.remove, [path])
            findings.append(Finding(f"segment {path}", "it was never finished", drop))
    sealed = {"index": store.indices(), "state": store.states()}
    for what, paths in sealed.items():
        for path in paths:
            wrong = damage(path)
            if wrong is not None:
                drop = partial(store.remove, [path.with_suffix(".json"), path])
                findings.append(Finding(f"{what} {path}", wrong, drop))
    damaged = {}
    for run_id in published_runs(store):
        for path in store.entries(store.run(run_id), ".parquet"):
            try:
                read_table(path)
            except (OSError, pa.ArrowException) as error:
                damaged[run_id] = f"{path.name}: {error}"
                break
    for run_id, wrong in damaged.items():
        findings.append(Finding(f"run {run_id}", wrong, partial(remove_runs, store, [run_id])))
    differs = discrepancy(store, damaged)
    if differs is not None:
        findings.append(Finding("index of runs", differs, partial(rebuild, store)))
    for path in store.reproductions():
        try:
            read_table(path)
        except (OSError, pa.ArrowException) as error:
            drop = partial(store.remove, [path])
            findings.append(Finding(f"reproduction {path.stem}", str(error), drop))
    return findings


def repair(store: Store) -> list[Finding]:
    """Remove what `examine` finds; no run may be writing to the store meanwhile."""
    findings = examine(store)
    for finding in findings:
        finding.drop()
    return findings
