"""What a user sees of a reproduction: table by table, what is missing, and what was settled how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from flows.cli.screen.tables import print_rows
from storage.results.reader import Results
from storage.store.store import Store
from tasks.paper.open_choices import choices_of

_TITLES = {
    1: "image ROCAUC",
    2: "pixel ROCAUC",
    3: "PRO",
    4: "ShanghaiTech Campus, ROCAUC of frames",
    5: "ShanghaiTech Campus, pixel ROCAUC",
    6: "PRO, one level of the pyramid at a time",
    7: "PRO, nearest against random training images",
}


def print_reproduction(store: str, reproduction: str, style: str) -> None:
    """The tables of the paper with ours beside them; for people, also what is missing, open and different."""
    results = Results(store)
    rows = results.rows("reproduction", reproduction)
    if style != "table":
        print_rows(rows, "reproduction", style)
        return
    for number, found in groupby(rows, key=lambda row: row["table"]):
        of_table = list(found)
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
