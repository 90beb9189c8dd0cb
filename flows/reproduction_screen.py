"""What a user sees of a reproduction: table by table, what is missing, and what was settled how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from flows.screen import print_rows
from storage.layout import Store
from storage.results import Results
from tasks.open_choices import choices_of

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
        print_rows([row for row in of_table if row["ours"] is not None], "reproduction", style)
        _print_grouped("missing", [row for row in of_table if row["ours"] is None], "reason")
        print()
    reasons = dict.fromkeys(reason for row in rows for reason in row["differs"])
    print(f"reproduction {reproduction}: {'not ' if reasons else ''}comparable with the paper's figures")
    for reason in reasons:
        print(f"  {reason}")
    print("what the paper leaves open, and what is done here:")
    first = results.rows("run", rows[0]["point"])[0]
    for line in choices_of(sorted({row["table"] for row in rows}), first):
        print(f"  {line}")
    runs = dict.fromkeys(row["point"] for row in rows)
    print(f"runs {', '.join(runs)}; the table: {Store.open(store).reproduction(reproduction)}")


def _print_grouped(title: str, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """The categories that have the same value in a column, one line a value."""
    values: dict[str, dict[str, None]] = {}
    for row in rows:
        values.setdefault(row[column], {})[row["category"]] = None
    for value, categories in values.items():
        print(f"{title}, {value}: {', '.join(categories)}")
