"""Finished runs, their methods and sweeps."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.cli.screen.tables import print_rows, print_table, rendered
from storage.results.reader import Results
from storage.results.schemas import COMPARED, SPADE
from storage.results.sweeps import averages
from storage.store.location import Location

if TYPE_CHECKING:
    pass


def print_report(store: str, run_id: str) -> None:
    """The categories of a run with their averages, the time of each stage, and where the tables are."""
    results = Results(store)
    averages: dict[str, dict[str, Any]] = {}
    for row in results.rows("summary", run_id):
        averages.setdefault(row.get("method") or SPADE, {})[row["metric"]] = row["mean"]
    means = [{"category": "average", "method": method, **found} for method, found in averages.items()]
    rows = results.rows("categories", run_id)
    several = len(rows) > len(means)
    if len(means) > 1:
        print_table(rendered([*rows, *(means if several else [])], "categories"))
        print(f"which is best, and at what cost: spade methods --store {shlex.quote(store)} {run_id}")
    else:
        print_table(rendered(rows, "categories", means[0] if several else None))
    seconds: Counter[str] = Counter()
    for row in results.rows("stages", run_id):
        seconds[row["step"]] += row["seconds"]
    run = results.rows("run", run_id)[0]
    stages = [f"{step} {value:.1f} s" for step, value in seconds.items()]
    print(
        " · ".join([*stages, f"whole run {run['seconds']:.1f} s", f"peak {run['peak_memory_mib']:.0f} MiB"])
    )
    compared = [row for row in results.rows("comparisons", run_id) if row["reference_run"] is not None]
    if compared:
        counted = Counter(row["verdict"] for row in compared)
        verdicts = ", ".join(f"{count} {name}" for name, count in counted.most_common())
        print(f"against the last good run: {verdicts}")
    print(f"run {run_id}: tables in {results.folder(run_id)}")
    print(f"show them: spade results --store {shlex.quote(store)} --run {run_id} --table images")
    print(f"look at it: spade report {run_id} --store {shlex.quote(store)} --open")


def print_page(page: Location) -> None:
    """Where a report is to be opened."""
    print(f"report: {page}")


def print_methods(
    standings: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    ranks: Sequence[Mapping[str, Any]],
) -> None:
    """How methods stand, which of them differ by more than chance, and their ranks over categories."""
    rows = [dict(row) | {metric: _with_interval(row, metric) for metric in COMPARED} for row in standings]
    print_table(rendered(rows, "standings", decimals=1))
    differ = [row for row in pairs if row["verdict"] in ("better", "worse")]
    told = [row for row in pairs if row["verdict"] != "not comparable"]
    print(
        f"{len(differ)} of {len(told)} paired differences exclude 0, each at 95 %, "
        "not corrected for their number:"
    )
    print_table(rendered(differ, "method_comparisons"))
    if ranks:
        print_table(rendered(ranks, "ranks"))


def _with_interval(row: Mapping[str, Any], metric: str) -> str:
    value, low, high = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return ""
    return f"{value:.4f}" if low is None else f"{value:.4f} ({low:.3f} to {high:.3f})"


def print_sweep(store: str, sweep: str, style: str) -> None:
    """The points of a sweep, averaged over the categories; for people, also how to read on."""
    print_rows(averages(Results(store).rows("sweep", sweep)), "sweep", style)
    if style == "table":
        print(f"sweep {sweep}: a row a point, averages over categories; each point is a run")
        command = f"spade results --store {shlex.quote(store)} --run {sweep} --table sweep --format csv"
        print(f"by category: {command}")
