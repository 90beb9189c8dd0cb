"""How registered datasets ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from flows.cli.screen.tables import print_table, rendered
from storage.results.reader import Results

if TYPE_CHECKING:
    from flows.registered import RegisteredRun


def print_registered(store: str, entries: Sequence[RegisteredRun]) -> None:
    """The averages of each registered dataset and configuration, and how it compares; or why it failed."""
    if not entries:
        print("another nightly works on this store, or nothing is registered: nothing was done")
    results = Results(store)
    rows = []
    for entry in entries:
        row = {name: value for name, value in asdict(entry).items() if value}
        if entry.run is not None:
            row |= {each["metric"]: each["mean"] for each in results.rows("summary", entry.run)}
            row |= {"seconds": results.rows("run", entry.run)[0]["seconds"]}
        rows.append(row)
    print_table(rendered(rows, "registered"))


def print_changes(store: str, entries: Sequence[RegisteredRun]) -> None:
    """What changed in a dataset, once, and what each of its configurations computed for it."""
    results = Results(store)
    whole = [entry.run for entry in entries if entry.run is not None]
    if whole:
        changed = results.rows("changes", whole[0])
        counted = Counter(f"{row['split']} {row['kind']}" for row in changed)
        print(", ".join(f"{count} {what}" for what, count in counted.items()) or "no image changed")
        if changed:
            print_table(rendered(changed, "changes"))
        for run in whole:
            computed: Counter[str] = Counter()
            for row in results.rows("stages", run):
                computed[row["step"]] += row["computed"]
            done = ", ".join(f"{step} {count}" for step, count in computed.items() if count)
            print(f"run {run}: computed anew: {done or 'nothing'}")
    print_registered(store, entries)
