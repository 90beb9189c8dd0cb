"""Find what is damaged in a store, and drop it, so that the next run computes it anew."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from storage.results.runs import published_runs
from storage.store.location import Location
from storage.store.sealed import damage
from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.tables import read_table


@dataclass(frozen=True)
class Finding:
    """Files that belong together and are of no use, in the order to remove them."""

    what: str
    reason: str
    paths: tuple[Location, ...]


def examine(store: Store) -> list[Finding]:
    """Read all that the store holds, and report what is damaged or was left by an interrupted writer."""
    findings = []
    for kind in (store.features(), store.scores()):
        for group in store.entries(kind):
            segments = Segments(store, group)
            for paths, reason in segments.damaged():
                findings.append(Finding(f"segment {paths[-1]}", reason, tuple(paths)))
            findings.extend(
                Finding(f"segment {path}", "it was never finished", (path,)) for path in segments.unrecorded()
            )
    sealed = {"index": store.indices(), "state": store.states()}
    for what, paths in sealed.items():
        for path in paths:
            wrong = damage(path)
            if wrong is not None:
                findings.append(Finding(f"{what} {path}", wrong, (path.with_suffix(".json"), path)))
    for run_id in published_runs(store):
        for path in store.entries(store.run(run_id), ".parquet"):
            try:
                read_table(path)
            except (OSError, pa.ArrowException) as error:
                findings.append(
                    Finding(
                        f"run {run_id}",
                        f"{path.name}: {error}",
                        (store.run_table(run_id, "run"), store.run(run_id)),
                    )
                )
                break
    for path in store.reproductions():
        try:
            read_table(path)
        except (OSError, pa.ArrowException) as error:
            findings.append(Finding(f"reproduction {path.stem}", str(error), (path,)))
    return findings


def repair(store: Store) -> list[Finding]:
    """Remove what `examine` finds; no run may be writing to the store meanwhile."""
    findings = examine(store)
    for finding in findings:
        store.remove(finding.paths)
    return findings
