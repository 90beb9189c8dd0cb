"""What takes space in a store, and what of it goes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict
from operator import attrgetter
from typing import Any

from flows.cli.screen.tables import print_rows, print_table, rendered
from storage.datasets.retention import Retention
from storage.space.plan import Item, Plan

_MIB = 2**20


def print_usage(plan: Plan, style: str) -> None:
    """A row a dataset, backbone and kind, the largest first; for people, also what may go and how."""
    rows: list[dict[str, Any]] = [
        dict(zip(("dataset", "backbone", "kind"), of, strict=True))
        | {"files": _total(items, "files"), "bytes": _total(items, "bytes")}
        | {"bytes_that_may_go": _total((item for item in items if item.why), "bytes")}
        for of, items in _grouped(plan.items, "dataset", "backbone", "kind").items()
    ]
    rows.sort(key=lambda row: -row["bytes"])
    if style != "table":
        print_rows(rows, "usage", style)
        return
    names = ("files", "bytes", "bytes_that_may_go")
    total = {"dataset": "all", **{name: sum(row[name] for row in rows) for name in names}}
    print_table(rendered([*map(_in_mib, rows)], "usage", _in_mib(total), decimals=1))
    print("what may go and why: spade prune; what keeps a run: spade pin RUN --why ...")


def print_plan(plan: Plan, retention: Retention, style: str, *, applied: bool) -> None:
    """A row a kind and reason of what goes; for people, also which runs stay, and why."""
    rows: list[dict[str, Any]] = [
        {"kind": kind, "count": len(items), "files": _total(items, "files"), "bytes": _total(items, "bytes")}
        | {"why": why}
        for (kind, why), items in _grouped(plan.going, "kind", "why").items()
    ]
    if style != "table":
        print_rows(rows, "prune", style)
        return
    kept = ", ".join(f"{value} {name}" for name, value in asdict(retention).items())
    print(f"[retention] {kept}")
    reasons = Counter(plan.kept.values())
    runs = [item for item in plan.going if item.kind == "run"]
    print(f"runs that stay: {', '.join(f'{count} {why}' for why, count in reasons.items()) or 'none'}")
    if rows:
        print_table(rendered([*map(_in_mib, rows)], "prune", decimals=1))
    if runs:
        print(f"runs: {', '.join(item.name for item in runs)}")
    if plan.under_way:
        print(f"under way: {', '.join(plan.under_way)}; what is computed stays until they end")
    size = _total(plan.going, "bytes") / _MIB
    if not rows:
        print("nothing may go")
    elif applied:
        print(f"removed: {size:.1f} MiB")
    else:
        print(f"{size:.1f} MiB would go; nothing was removed: spade prune --apply does it")


def _grouped(items: Iterable[Item], *names: str) -> Mapping[tuple[Hashable, ...], list[Item]]:
    found: dict[tuple[Hashable, ...], list[Item]] = defaultdict(list)
    for item in items:
        found[attrgetter(*names)(item)].append(item)
    return found


def _total(items: Iterable[Item], name: str) -> int:
    return sum(getattr(item.size, name) for item in items)


def _in_mib(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value / _MIB if name.startswith("bytes") else value for name, value in row.items()}
