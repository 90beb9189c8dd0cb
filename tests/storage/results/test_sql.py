from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from storage.errors import StoreError
from storage.results.runs import publish
from storage.results.sql import answer
from storage.store.store import Store


def run(store: Store, name: str, day: int, status: str = "complete", **more: Any) -> None:
    finished = pa.array([datetime(2026, 1, day, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    record = pa.table({"finished": finished, "status": [status], "methods": [["spade"]], "sweep": [None]})
    tables = {} if status == "interrupted" else {"categories": pa.table({"category": ["007"], **more})}
    publish(store, name, record, tables)


def test_only_published_runs_are_seen_and_columns_that_came_later_are_null(store: Store) -> None:
    run(store, "second", 2, pro=[0.5])
    run(store, "first", 1)
    run(store, "died", 3, "interrupted")
    store.write(store.run_table("under-way", "categories"), b"half of a fi")
    assert answer(store.root, "select run, status from runs").to_pylist() == [
        {"run": "first", "status": "complete"},
        {"run": "second", "status": "complete"},
        {"run": "died", "status": "interrupted"},
    ]
    assert answer(store.root, "from categories").to_pylist() == [
        {"run": "first", "category": "007", "pro": None},
        {"run": "second", "category": "007", "pro": 0.5},
    ]
    assert answer(store.root, "from categories where run = $run", {"run": "first"}).num_rows == 1
    finished = answer(store.root, "select finished from runs where run = 'first'")["finished"][0].as_py()
    assert finished == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_latest_run_has_a_name(store: Store) -> None:
    run(store, "one", 1)
    run(store, "two", 2)
    run(store, "died", 3, "interrupted")
    assert answer(store.root, "select run from categories where run = latest()").to_pylist() == [
        {"run": "two"}
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select colour from categories", "the query has no answer: .*colour"),
        ("selec 1", "the query has no answer"),
        ("from nowhere", "the query has no answer: .*nowhere"),
        ("from read_csv('/etc/passwd')", "the query has no answer: .*disabled"),
        ("copy (select 1) to '/tmp/spade-test.csv'", "the query has no answer: .*disabled"),
        ("set enable_external_access = true", "the query has no answer"),
        ("from store", "the query has no answer"),
    ],
)
def test_a_query_that_asks_for_more_is_refused(store: Store, query: str, message: str) -> None:
    run(store, "one", 1)
    with pytest.raises(StoreError, match=message):
        answer(store.root, query)


def test_a_store_without_runs_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="has no finished run yet: start one with `spade evaluate`"):
        answer(store.root, "from runs")


def test_without_duckdb_the_remedy_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(StoreError, match=r"SQL needs DuckDB: pip install 'spade-anomaly\[sql\]'"):
        answer(store.root, "select 1")
