"""SQL over the result tables of all published runs, by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from typing import Any

import pyarrow as pa

from storage.errors import StoreError
from storage.results.reader import Results
from storage.results.runs import INTERRUPTED, published_runs, read_tables
from storage.results.schemas import TABLES
from storage.store.store import DEFAULT_STORE, Store

_SETTINGS = {  # no file, no extension, no variable of Python: a query sees the tables alone
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "TimeZone": "UTC",
    "lock_configuration": "true",
}
LATEST = "latest()"


def answer(
    store: str | PathLike[str] = DEFAULT_STORE, query: str = "from runs", parameters: Mapping[str, Any] = {}
) -> pa.Table:
    """What a query answers; `parameters` are its $NAMEs.

    Its tables are those of docs/tables.md, each of all published runs, oldest first, with a first column
    `run`; `latest()` is the run that `Results` calls so. Of each table that it names all runs are read.

    Raises:
        StoreError: DuckDB is not installed or cannot answer, or a table is damaged.
    """
    try:
        import duckdb
    except ImportError:
        raise StoreError("SQL needs DuckDB: pip install 'spade-anomaly[sql]'") from None
    opened = Store.open(store)
    with duckdb.connect() as connection:
        try:
            for name in TABLES.keys() & set(re.findall(r"\w+", query.lower())):
                connection.register(name, _table(opened, name))
            if LATEST in query:
                latest = Results(store).resolve("latest").replace("'", "''")
                connection.execute(f"create macro latest() as '{latest}'")
            for setting, value in _SETTINGS.items():
                connection.execute(f"set {setting} = '{value}'")
            relation = connection.sql(query, params=dict(parameters) or None)
            found: pa.Table | None = None if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise StoreError(f"the query has no answer: {error}") from error
    if found is None:
        raise StoreError("the query has no answer: it is a select, as in 'from runs'")
    return found


def _table(store: Store, name: str) -> pa.Table:
    """A table of all runs; an interrupted one has a record, and no other."""
    runs = published_runs(store)
    if not runs:
        raise StoreError(f"the store {store.root} has no finished run yet: start one with `spade evaluate`")
    records = dict(zip(runs, read_tables(store, [store.run_table(run, "run") for run in runs]), strict=True))
    runs.sort(key=lambda run: (records[run]["finished"][0].value, run))
    whole = [run for run in runs if records[run]["status"][0].as_py() != INTERRUPTED]
    if name == "runs":
        tables = {run: records[run] for run in runs}
    elif name == "reproduction":
        paths = store.reproductions()
        tables = dict(zip((path.stem for path in paths), read_tables(store, paths), strict=True))
    else:
        paths = [store.run_table(run, name) for run in whole]
        tables = dict(zip(whole, read_tables(store, paths), strict=True))
    named = [
        table.add_column(0, "run", pa.array([run] * table.num_rows, pa.string()))
        for run, table in tables.items()
    ]
    empty = TABLES[name][0].empty_table().add_column(0, "run", pa.array([], pa.string()))
    return pa.concat_tables(named or [empty], promote_options="default")
