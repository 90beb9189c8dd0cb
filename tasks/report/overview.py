"""What the first page shows of a run: its settings, all of its methods, and what its steps took."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.results.metrics import BY_NAME
from tasks.core.methods.interface import Method
from tasks.core.settings import declarations
from tasks.report.source import Row, Source
from tasks.run.tables import RUN

EVERY = ""  # in place of a category: all of them


@dataclass(frozen=True)
class Fact:
    """A setting, its value in words, and what it means."""

    name: str
    value: str
    meaning: str


def facts(source: Source) -> dict[str, list[Fact]]:
    """The settings of a run by whose they are: of all methods, of the shown one, of those that it joins."""
    shared = [
        Fact(column.name, _text(source.run[column.name]), column.metadata[b"meaning"].decode())
        for column in RUN
        if column.metadata.get(b"setting") not in (None, b"method")
    ]
    settled = source.settled()
    own = [settled] if settled.members == (settled,) else [settled, *settled.members]
    labels = [source.label, *(member.label for member in source.method.members)]
    return {"all methods": shared} | {
        label: _declared(method) for label, method in zip(labels, own, strict=False)
    }


def _declared(method: Method) -> list[Fact]:
    return [
        Fact(name, _text(getattr(method, name)), setting.help)
        for name, setting, _ in declarations(type(method))
    ]


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_text(each) for each in value)
    if isinstance(value, Method):
        return value.name
    return "none" if value is None else str(value)


def reasons(row: Row, metrics: Mapping[str, str]) -> dict[str, list[str]]:
    """Why a row of the categories table lacks some of these metrics: titles by reason."""
    found: dict[str, list[str]] = {}
    for name, title in metrics.items():
        reason = BY_NAME[name].reason(row)
        if row.get(name) is None and reason is not None:
            found.setdefault(reason, []).append(title)
    return found


@dataclass(frozen=True)
class MethodTable:
    """Every method of a run: rows by category, averages first where there are several, and method.

    `command` writes the pages of another one.
    """

    rows: dict[str, dict[str, Row]]
    command: str


def method_table(source: Source) -> MethodTable | None:
    """The table of a run with several methods."""
    methods: Sequence[str] = source.run["methods"]
    if len(methods) < 2:
        return None
    rows: dict[str, dict[str, Row]] = {}
    for row in source.every_category:
        rows.setdefault(row["category"], {})[row["method"]] = row
    if len(rows) > 1:
        rows = {EVERY: {label: _averages(source, label) for label in methods}, **rows}
    other = next(label for label in methods if label != source.label)
    words = ["spade", "report", source.run_id, "--method", other, "--store", str(source.store.root)]
    return MethodTable(rows, shlex.join(words))


def _averages(source: Source, label: str) -> Row:
    means = {name: row["mean"] for name, row in source.summaries[label].items()}
    return {"status": "ok", **means}


@dataclass(frozen=True)
class StageTable:
    """Steps in their order, and rows of the stages table by category, method and step.

    Category None is the whole dataset, method None what serves all methods; `several` says whether there is
    more than one method; with one alone, its steps are in the rows of method None.
    """

    steps: list[str]
    rows: dict[str | None, dict[str | None, dict[str, Row]]]
    several: bool


def stage_table(stages: Sequence[Row]) -> StageTable:
    """The stages of a run, those of each method in a row of their own."""
    labels = {stage["method"] for stage in stages} - {None}
    rows: dict[str | None, dict[str | None, dict[str, Row]]] = {}
    for stage in stages:
        method = stage["method"] if len(labels) > 1 else None
        rows.setdefault(stage["category"], {}).setdefault(method, {})[stage["step"]] = stage
    every = [[*of_method] for of_category in rows.values() for of_method in of_category.values()]
    return StageTable(_merged(every), rows, len(labels) > 1)


def _merged(sequences: Sequence[Sequence[str]]) -> list[str]:
    """The steps of all sequences, in an order that keeps each one's."""
    merged: list[str] = []
    for steps in sequences:
        for place, step in enumerate(steps):
            if step not in merged:
                after = [merged.index(later) for later in steps[place + 1 :] if later in merged]
                merged.insert(min(after, default=len(merged)), step)
    return merged


def drift(source: Source) -> dict[str, Any]:
    """Rows of what drifted, and how many comparisons could be made, and could not."""
    rows = source.results.rows("drift", source.run_id)
    told = [row for row in rows if row["verdict"] != "not comparable"]
    drifted = [row for row in told if row["verdict"] == "drifted"]
    return {"drifted": drifted, "compared": len(told), "untold": len(rows) - len(told)}
