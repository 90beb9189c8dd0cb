"""SQL over the result tables of all published runs, by DuckDB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import StoreError
from storage.results.index import INDEXED, Index, nothing_published, with_run
from storage.results.reader import Results
from storage.results.runs import read_tables
from storage.results.schemas import INTERRUPTED, TABLES
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
    index = Index(opened)
    with duckdb.connect() as connection:
        try:
            for name in TABLES.keys() & set(re.findall(r"\w+", query.lower())):
                connection.register(name, _table(opened, index, name))
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


def _table(store: Store, index: Index, name: str) -> pa.Table:
    """A table of all runs, oldest first; an interrupted one has a record, and no other."""
    records = index.records()
    if not records.num_rows:
        raise nothing_published(store)
    runs = records["run"].to_pylist()
    whole = [
        run for run, status in zip(runs, records["status"].to_pylist(), strict=True) if status != INTERRUPTED
    ]
    if name == "runs":
        found = [records]
    elif name in INDEXED:
        rows = index.rows(name, None)
        places = pc.index_in(rows["run"], value_set=records["run"].combine_chunks())
        found = [rows.take(pc.sort_indices(places))]
    else:
        paths = [store.run_table(run, name) for run in whole]
        if name == "reproduction":
            paths = store.reproductions()
            whole = [path.stem for path in paths]
        found = [*map(with_run, whole, read_tables(store, paths))]
    return pa.concat_tables(found or [with_run("", TABLES[name][0].empty_table())], promote_options="default")
