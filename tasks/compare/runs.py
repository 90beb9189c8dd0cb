"""Whether a run is worse than another by more than chance: each metric of each category, on the same images.

A difference counts if it exceeds the metric's tolerance and the 95 % interval of the paired difference
excludes 0.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.errors import StoreError
from storage.results.metrics import COMPARED, Metric, default_gate
from storage.results.reader import Results
from storage.results.runs import earlier_runs
from storage.results.schemas import COMPARISONS
from storage.store.store import Store, digest
from storage.store.tables import table_of
from tasks.compare.verdicts import Category, Row, about, compare_category, corrected
from tasks.core.config import DEFAULT_TOLERANCE, Configuration
from tasks.markdown import escaped

_LOOK_BACK = 10  # runs searched for one that has a category
COMPARED_TABLES = ("categories", "images", "manifest")
_COLUMNS = (
    "verdict",
    "category",
    "method",
    "metric",
    "value",
    "reference",
    "difference",
    "95 % interval",
    "against",
    "reason",
)
_ORDER = ("worse", "better", "gone", "not comparable", "new", "same")


@dataclass(frozen=True)
class Side:
    """One run of a comparison, its categories by name and method."""

    run: str
    record: Mapping[str, Any]
    categories: Mapping[tuple[str, str], Category]

    @classmethod
    def of(
        cls, run: str, record: Mapping[str, Any], tables: Mapping[str, Sequence[Mapping[str, Any]]]
    ) -> Side:
        """The run with this record and the rows of these tables, which need not be published."""
        images: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        files: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in tables["images"]:
            images[row["category"], row["method"]].append(row)
        for row in tables["manifest"]:
            files[row["category"]].append(row)
        categories = {}
        for row in tables["categories"]:
            key = row["category"], row["method"]
            categories[key] = Category(run, record, row, images[key], files[row["category"]])
        return cls(run, record, categories)

    @classmethod
    def read(cls, results: Results, run: str) -> Side:
        """A published run."""
        (record,) = results.rows("run", run)
        return cls.of(run, record, {name: results.rows(name, run) for name in COMPARED_TABLES})


def configuration_key(configuration: Configuration) -> str:
    """Digest of what the methods have in common; with other weights it is the same configuration."""
    return digest(configuration.comparison_description())


def compare(
    store: Store,
    run: str,
    reference: str | None = None,
    *,
    gate: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pa.Table:
    """A published run against another, as a table of COMPARISONS: one row a category, method and metric.

    `gate` names the metrics, each with the difference that is none; without it `default_gate`.

    Without a `reference` each category is compared with the last complete run of the same dataset and
    configuration before this one that has it by the same method. `seed` is that of the bootstrap.

    Raises:
        StoreError: no such run, or a damaged table.
    """
    results = Results(store.root)
    side = Side.read(results, results.resolve(run))
    if reference is not None:
        other = Side.read(results, results.resolve(reference))
        return _compare(store, side, [other], other, gate, seed)
    return compare_with_earlier(store, side, earlier_runs(store, side.run, side.record), gate=gate, seed=seed)


def compare_with_earlier(
    store: Store,
    side: Side,
    earlier: Sequence[str],
    *,
    gate: Mapping[str, float] | None = None,
    seed: int = 0,
) -> pa.Table:
    """As `compare`, of a run that need not be published yet, with its earlier runs, the last first.

    One that is damaged is passed over.
    """
    return _compare(store, side, _sides(store, earlier), None, gate, seed)


def _compare(
    store: Store,
    side: Side,
    others: Iterable[Side],
    reference: Side | None,
    gate: Mapping[str, float] | None,
    seed: int,
) -> pa.Table:
    gate = default_gate(DEFAULT_TOLERANCE) if gate is None else gate
    held = [metric for metric in COMPARED if metric.name in gate]
    counterparts: dict[tuple[str, str], Category] = {}
    newest: Side | None = None
    for other in others:
        newest = newest or other
        for name in side.categories.keys() & other.categories.keys():
            counterparts.setdefault(name, other.categories[name])
        if counterparts.keys() == side.categories.keys():
            break
    rows: list[Row] = []
    methods = list(dict.fromkeys(method for _, method in side.categories))
    before = {name for name in newest.categories if name[1] in methods} if newest else set()
    for name in sorted(side.categories.keys() | before, key=lambda name: (name[0], methods.index(name[1]))):
        if name not in side.categories and newest is not None:
            rows += _gone(newest.categories[name], side.run, held)
        elif name not in counterparts:
            rows += _new(side.categories[name], reference, held)
        else:
            rows += compare_category(store, side.categories[name], counterparts[name], gate=gate, seed=seed)
    return table_of(corrected(rows), COMPARISONS)


def _sides(store: Store, runs: Sequence[str]) -> Iterator[Side]:
    results = Results(store.root)
    for run in runs[:_LOOK_BACK]:
        try:
            yield Side.read(results, run)
        except StoreError:
            continue


def _new(category: Category, reference: Side | None, held: Sequence[Metric]) -> Iterator[Row]:
    where = (
        "no earlier complete run of this configuration has it"
        if reference is None
        else (f"run {reference.run} does not have it")
    )
    for metric in held:
        value = category.row.get(metric.name)
        yield about(category, metric) | {"value": value, "verdict": "new", "reason": where}


def _gone(category: Category, run: str, held: Sequence[Metric]) -> Iterator[Row]:
    for metric in held:
        yield about(category, metric) | {
            "reference_run": category.run,
            "reference": category.row.get(metric.name),
            "verdict": "gone",
            "reason": f"run {run} does not have it",
        }


def is_worse(comparisons: pa.Table) -> bool:
    """Whether any metric of any category got worse."""
    return "worse" in comparisons["verdict"].to_pylist()


def counts(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many metrics have each verdict, the worst first: "2 worse, 10 same"."""
    found = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in _ORDER if found[verdict])


def markdown(comparisons: pa.Table, run: str) -> str:
    """A comparison of `run` as a Markdown document: what got worse first, then the rest."""
    rows = sorted(comparisons.to_pylist(), key=lambda row: _ORDER.index(row["verdict"]))
    lines = [
        f"# Run {escaped(run)}: {counts(rows) or 'nothing to compare'}",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        f"| {' | '.join('---' for _ in _COLUMNS)} |",
    ]
    for row in rows:
        interval = "" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
        cells = (
            f"**{row['verdict']}**" if row["verdict"] == "worse" else row["verdict"],
            escaped(f"{row['dataset']}/{row['category']}"),
            escaped(row["method"]),
            row["metric"],
            _number(row["value"], ".4f"),
            _number(row["reference"], ".4f"),
            _number(row["difference"], "+.4f"),
            interval,
            escaped(row["reference_run"] or ""),
            escaped(row["reason"] or ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
