"""Find what is damaged in a store, and drop it, so that the next run computes it anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa

from storage.computed.kinds import GROUPS, SEALED
from storage.results.index import discrepancy, published_runs, rebuild, remove_runs
from storage.store.sealed import damage, parts
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
    for group in chain.from_iterable(found(store, store.entries) for found in GROUPS.values()):
        segments = Segments(store, group)
        for name, reason in segments.damaged():
            what = f"segment {group / 'segments' / name}"
            findings.append(Finding(what, reason, partial(segments.drop, [name])))
        for name in segments.unrecorded():
            path = group / "segments" / name
            drop = partial(store.remove, [path])
            findings.append(Finding(f"segment {path}", "it was never finished", drop))
        wrong = segments.damaged_description()
        if wrong is not None:
            findings.append(Finding(f"description of {group}", wrong, segments.forget_description))
    for what, sealed in SEALED.items():
        for path in sealed(store, store.entries):
            wrong = damage(path)
            if wrong is not None:
                drop = partial(store.remove, parts(path))
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
