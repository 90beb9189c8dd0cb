from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import StoreError
from storage.results.metrics import COMPARED
from storage.results.reader import Results
from storage.results.runs import publish
from storage.results.schemas import CATEGORIES, INTERRUPTED, METHOD_COMPARISONS, STAGES
from storage.store.store import Store
from storage.store.tables import table_of
from tasks.compare.plot import plot_methods
from tasks.compare.standings import pairs, ranks, standings
from tasks.run.tables import RUN

SPADE, PADIM = "spade(k_image=3)", "padim"
ENSEMBLE = f"ensemble(methods=('{SPADE}', '{PADIM}', 'dn2'))"
KEYS = {SPADE: "s", PADIM: "p", "dn2": "d", ENSEMBLE: "e"}
Stages = Sequence[tuple[str, str, float, int]]  # method, step, seconds, computed of 7
ALL: Stages = [
    (SPADE, "score", 8.0, 7),
    (PADIM, "fit", 16.0, 7),
    (PADIM, "score", 32.0, 7),
    ("dn2", "score", 64.0, 7),
    (ENSEMBLE, "fit", 1.0, 7),
    (ENSEMBLE, "score", 2.0, 7),
]


class Runs:
    """Publishes runs of one category, in the order they are made."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.results = Results(store.root)
        self._day = 0

    def publish(
        self, run: str, methods: Sequence[str], stages: Stages, status: str = "complete", **tables: Any
    ) -> None:
        self._day += 1
        record = {
            "status": status,
            "finished": datetime(2026, 1, self._day, tzinfo=UTC),
            "fingerprint": run,
            "methods": list(methods),
            "sweep": None,
        }
        categories = [
            {
                "dataset": "data",
                "category": "nut",
                "method": method,
                "status": "ok",
                "score_key": KEYS[method],
            }
            for method in methods
        ]
        worked = [
            {"step": step, "category": "nut", "method": method, "score_key": KEYS[method], "seconds": seconds}
            | {"computed": computed, "total": 7, "state_mib": None if method == ENSEMBLE else 10.0}
            for method, step, seconds, computed in stages
        ]
        shared = {"step": "index", "category": "nut", "seconds": 99.0, "computed": 7, "total": 7}
        contents = {
            "categories": table_of(categories, CATEGORIES),
            "stages": table_of([shared, *worked], STAGES),
        }
        schema = pa.schema([RUN.field(name) for name in record])
        publish(self.store, run, table_of([record], schema), contents | tables)

    def costs(self, run: str) -> dict[str, tuple[float | None, float | None, float | None]]:
        names = ("fit_seconds", "score_seconds", "state_mib")
        return {row["method"]: tuple(row[name] for name in names) for row in standings(self.results, [run])}


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(Store.open(tmp_path / "store", create=True))


EXPECTED = {
    SPADE: (0.0, 8.0, 10.0),
    PADIM: (16.0, 32.0, 10.0),
    "dn2": (0.0, 64.0, 10.0),
    ENSEMBLE: (17.0, 106.0, 30.0),
}


@pytest.mark.parametrize(
    "methods",
    [(ENSEMBLE, SPADE, PADIM, "dn2"), (SPADE, "dn2", ENSEMBLE, PADIM), (ENSEMBLE,), (PADIM, ENSEMBLE)],
)
def test_an_ensemble_costs_its_own_steps_and_those_of_its_methods_wherever_they_stand(
    runs: Runs, methods: Sequence[str]
) -> None:
    runs.publish("one", methods, ALL)
    assert runs.costs("one") == {method: EXPECTED[method] for method in methods}


def test_a_method_costs_what_the_run_took_that_did_the_work(runs: Runs) -> None:
    runs.publish("padim", [PADIM], [(PADIM, "fit", 5.0, 7), (PADIM, "score", 6.0, 7)])
    found = [(method, step, 0.5, 0) for method, step, *_ in ALL if method == PADIM]
    runs.publish("all", [ENSEMBLE], [*found, *(stage for stage in ALL if stage[0] != PADIM)])
    assert runs.costs("all") == {ENSEMBLE: (6.0, 80.0, 30.0)}
    runs.publish("again", list(KEYS), [(method, step, 0.1, 0) for method, step, *_ in ALL])
    assert runs.costs("again") == EXPECTED | {PADIM: (5.0, 6.0, 10.0), ENSEMBLE: (6.0, 80.0, 30.0)}
    runs.publish("anew", [PADIM], ALL)
    assert runs.costs("anew") == {PADIM: EXPECTED[PADIM]}
    assert runs.costs("padim") == {PADIM: (5.0, 6.0, 10.0)}


def test_work_that_no_run_did_whole_has_no_cost(runs: Runs) -> None:
    runs.publish("rest", [PADIM, SPADE], [(PADIM, "fit", 5.0, 0), (PADIM, "score", 6.0, 3)])
    runs.publish("dead", [], ALL, INTERRUPTED)
    assert set(runs.costs("rest").values()) == {(None, None, None)}
    runs.publish("joined", [ENSEMBLE, "dn2"], [stage for stage in ALL if stage[0] in (ENSEMBLE, "dn2")])
    assert runs.costs("joined") == {ENSEMBLE: (None, None, None), "dn2": EXPECTED["dn2"]}


def test_a_damaged_run_is_passed_over(runs: Runs) -> None:
    runs.publish("one", [SPADE], [(SPADE, "score", 8.0, 7)])
    runs.publish("two", [SPADE], ALL)
    runs.publish("three", [SPADE], [(SPADE, "score", 0.0, 0)])
    runs.store.write(runs.store.run_table("two", "stages"), b"")
    assert runs.costs("three") == {SPADE: EXPECTED[SPADE]}


def rows_of(values: Mapping[str, Sequence[float | None]], metric: str = "pro") -> list[dict[str, Any]]:
    """Standings of some methods over as many categories as they have values."""
    return [
        {"run": "one", "dataset": "data", "category": str(number), "method": method, "state_mib": 4.0}
        | {each.name: None for each in COMPARED}
        | {metric: value, "fit_seconds": 1.0, "score_seconds": 2.0}
        for method, of_method in values.items()
        for number, value in enumerate(of_method)
    ]


def test_ranks_are_over_the_categories_where_all_have_the_metric() -> None:
    rows = rows_of({SPADE: [0.9, 0.8, 0.7], ENSEMBLE: [0.95, 0.7, None], "dn2": [None] * 3})
    found = ranks(rows)
    assert [(row["method"], row["categories"], row["mean_rank"]) for row in found] == [
        (SPADE, 2, 1.5),
        (ENSEMBLE, 2, 1.5),
    ]
    assert [row["mean"] for row in found] == pytest.approx([0.85, 0.825])
    assert "2 categories are too few" in found[0]["note"]


def test_pairs_are_those_of_the_runs_each_once(runs: Runs) -> None:
    row = {"dataset": "data", "category": "nut", "metric": "pro", "method": SPADE, "reference": ENSEMBLE}
    table = table_of([row | {"verdict": "same"}], METHOD_COMPARISONS)
    runs.publish("one", [SPADE, ENSEMBLE], ALL, method_comparisons=table)
    found = pairs(runs.results, ["one", "latest"])
    assert [(each["run"], each["method"], each["reference"]) for each in found] == [("one", SPADE, ENSEMBLE)]


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_picture_has_a_panel_a_metric_however_many_there_are(
    more: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        replace(COMPARED[0], name=f"other_{each}", title=f"other metric {each}") for each in range(more)
    ]
    metrics = (*COMPARED, *others)
    monkeypatch.setattr("tasks.compare.plot.COMPARED", metrics)
    values = np.random.default_rng(0).uniform(0.5, 1, (2, 3)).tolist()
    rows = rows_of(dict(zip((SPADE, ENSEMBLE), values, strict=True)))
    plot_methods([row | {each.name: row["pro"] for each in others} for row in rows], str(tmp_path / "a.svg"))
    picture = (tmp_path / "a.svg").read_text()
    for metric in metrics:
        assert picture.count(f"<!-- {metric.title} -->") == 1


def test_what_cannot_be_drawn_is_named(tmp_path: Path) -> None:
    rows = rows_of({SPADE: [0.9]})
    with pytest.raises(StoreError, match=r"a\.gif': its name ends in one of \.png, \.svg, \.pdf"):
        plot_methods(rows, str(tmp_path / "a.gif"))
    with pytest.raises(StoreError, match="their seconds are not known"):
        plot_methods([row | {"score_seconds": None} for row in rows], str(tmp_path / "a.png"))
