"""Finished runs, their methods, sweeps, what is registered, and the paper's tables."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from flows.cli.screen.tables import print_rows, print_table, rendered
from storage.results.metrics import COMPARED, Metric
from storage.results.reader import Results
from storage.results.robustness import averages as averages_of_corruptions
from storage.results.robustness import by_rule
from storage.results.sweeps import averages
from storage.store.location import Location
from storage.store.store import Store
from tasks.paper.open_choices import choices_of

if TYPE_CHECKING:
    from flows.registered import RegisteredRun

_TITLES = {
    1: "image ROCAUC",
    2: "pixel ROCAUC",
    3: "PRO",
    4: "ShanghaiTech Campus, ROCAUC of frames",
    5: "ShanghaiTech Campus, pixel ROCAUC",
    6: "PRO, one level of the pyramid at a time",
    7: "PRO, nearest against random training images",
}


def print_report(store: str, run_id: str) -> None:
    """The categories of a run with their averages, the time of each stage, and where the tables are."""
    results = Results(store)
    averages: dict[str, dict[str, Any]] = {}
    for row in results.rows("summary", run_id):
        averages.setdefault(row["method"], {})[row["metric"]] = row["mean"]
    means = [{"category": "average", "method": method, **each} for method, each in averages.items()]
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
    if run["drifted"]:
        rows = [row for row in results.rows("drift", run_id) if row["verdict"] == "drifted"]
        ways = ", ".join(f"{row['category']} by {row['measure']}" for row in rows)
        print(f"normal test images are not like the training images: {ways}")
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
    rows = [dict(row) | {each.name: _with_interval(row, each) for each in COMPARED} for row in standings]
    print_table(rendered(rows, "standings", decimals=1))
    differ = [row for row in pairs if row["verdict"] in ("better", "worse")]
    told = [row for row in pairs if row["verdict"] != "not comparable"]
    sure = sum(row["p_adjusted"] < 0.05 for row in told)
    print(
        f"{len(differ)} of {len(told)} paired differences exclude 0, each at 95 %; "
        f"{sure} do, corrected for their number:"
    )
    print_table(rendered(differ, "method_comparisons"))
    if ranks:
        print_table(rendered(ranks, "ranks"))


def _with_interval(row: Mapping[str, Any], metric: Metric) -> str:
    value, low, high = row[metric.name], row[metric.low], row[metric.high]
    if value is None:
        return ""
    return f"{value:.4f}" if low is None else f"{value:.4f} ({low:.3f} to {high:.3f})"


def print_sweep(store: str, sweep: str, style: str) -> None:
    """The points of a sweep, averaged over the categories; for people, also how to read on."""
    results = Results(store)
    of_categories = results.rows("sweep", sweep)
    rows = averages(of_categories, results.scoring_settings(of_categories[0]["run"]))
    if style == "table" and len({row["run"] for row in rows}) == len(rows):
        rows = [row | {"method": None} for row in rows]  # its settings are the columns
    print_rows(rows, "sweep", style)
    if style == "table":
        print(f"sweep {sweep}: a row a point, averages over categories; each point is a run")
        command = f"spade results --store {shlex.quote(store)} --run {sweep} --table sweep --format csv"
        print(f"by category: {command}")


def print_robustness(store: str, run_id: str, style: str) -> None:
    """What corruptions cost, averaged over the categories; for machines, category by category."""
    rows = Results(store).rows("robustness", run_id)
    if style != "table":
        print_rows(rows, "robustness", style)
        return
    print_table(rendered(by_rule(averages_of_corruptions(rows)), "corruptions", decimals=3))
    for reason in dict.fromkeys(row["reason"] for row in rows if row["reason"]):
        print(f"missing: {reason}")
    command = f"spade results --store {shlex.quote(store)} --run {run_id} --table robustness"
    print(
        f"at a false-positive rate of {rows[0]['fpr']:g}; by category: {command}" if rows else "no category"
    )
    print(f"curves: spade report {run_id} --store {shlex.quote(store)} --open")


def print_registered(store: str, runs: Sequence[RegisteredRun]) -> None:
    """The averages of each registered dataset and configuration, and how it compares; or why it failed.

    Of a run with several methods they are those of its first.
    """
    if not runs:
        print("another nightly works on this store, or nothing is registered: nothing was done")
    results = Results(store)
    rows = []
    for each in runs:
        row = {name: value for name, value in asdict(each).items() if value}
        if each.run is not None:
            method = results.method(each.run)
            means = results.rows("summary", each.run, method)
            row |= {"method": method, **{mean["metric"]: mean["mean"] for mean in means}}
            row |= {"seconds": results.rows("run", each.run)[0]["seconds"]}
        rows.append(row)
    print_table(rendered(rows, "registered"))


def print_changes(store: str, runs: Sequence[RegisteredRun]) -> None:
    """What changed in a dataset, once, and what each of its configurations computed for it."""
    results = Results(store)
    published = [each.run for each in runs if each.run is not None]
    if published:
        changed = results.rows("changes", published[0])
        counted = Counter(f"{row['split']} {row['kind']}" for row in changed)
        print(", ".join(f"{count} {kind}" for kind, count in counted.items()) or "no image changed")
        if changed:
            print_table(rendered(changed, "changes"))
        for run in published:
            computed: Counter[str] = Counter()
            for row in results.rows("stages", run):
                computed[row["step"]] += row["computed"]
            done = ", ".join(f"{step} {count}" for step, count in computed.items() if count)
            print(f"run {run}: computed anew: {done or 'nothing'}")
    print_registered(store, runs)


def print_reproduction(store: str, reproduction: str, style: str) -> None:
    """The tables of the paper with ours beside them; for people, also what is missing, open and different."""
    results = Results(store)
    rows = results.rows("reproduction", reproduction)
    if style != "table":
        print_rows(rows, "reproduction", style)
        return
    for number, figures in groupby(rows, key=lambda row: row["table"]):
        of_table = list(figures)
        print(f"Table {number}: {_TITLES[number]}, K = {of_table[0]['k']}")
        there = [row for row in of_table if row["ours"] is not None]
        if there:
            print_rows(there, "reproduction", style)
        _print_missing([row for row in of_table if row["ours"] is None])
        print()
    reasons = dict.fromkeys(reason for row in rows for reason in row["differs"])
    comparable = not reasons and any(row["ours"] is not None for row in rows)
    print(f"reproduction {reproduction}: {'' if comparable else 'not '}comparable with the paper's figures")
    for reason in reasons:
        print(f"  {reason}")
    print("what the paper leaves open, and what is done here:")
    first = results.rows("run", rows[0]["point"])[0]
    for line in choices_of(sorted({row["table"] for row in rows}), first):
        print(f"  {line}")
    runs = dict.fromkeys(row["point"] for row in rows)
    print(f"runs {', '.join(runs)}; the table: {Store.open(store).reproduction(reproduction)}")


def _print_missing(rows: Sequence[Mapping[str, Any]]) -> None:
    """The categories that have no figure of ours, one line a reason."""
    categories: dict[str, dict[str, None]] = {}
    for row in rows:
        categories.setdefault(row["reason"], {})[row["category"]] = None
    for reason, names in categories.items():
        print(f"missing, {reason}: {', '.join(names)}")
