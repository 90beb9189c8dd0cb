"""The page docs/tables.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pyarrow as pa

from storage.results.reader import pandas_kind

_TYPES = {  # of Parquet: in words, and in pandas
    "string": ("text", "str"),
    "double": ("float", "float64"),
    "int64": ("integer", "int64"),
    "int32": ("integer", "int32"),
    "bool": ("boolean", "bool"),
    "timestamp[us, tz=UTC]": ("time, UTC", "datetime64[us, UTC]"),
    "list<element: int32>": ("list of integers", "object"),
    "list<item: int32>": ("list of integers", "object"),
    "list<element: string>": ("list of texts", "object"),
    "list<item: string>": ("list of texts", "object"),
    "map<string, string>": ("dictionary of texts", "object"),
}


def tables_page(tables: Mapping[str, tuple[pa.Schema, str]]) -> str:
    """Every column of every table in Markdown: its types, whether it may be null, its meaning."""
    return "\n".join(_lines(tables)) + "\n"


def _lines(tables: Mapping[str, tuple[pa.Schema, str]]) -> Iterator[str]:
    yield "# Tables"
    yield ""
    yield "Made by `make docs` from the schemas; each Parquet file's schema says the same."
    yield "In pandas, `results.categories()` is the table categories of the latest run, and so on; a first"
    yield "column `run`, the run's id, is added."
    for name, (schema, meaning) in tables.items():
        yield from ("", f"## {name}", "", meaning, "")
        yield "| column | type | in pandas | may be null | meaning |"
        yield "| --- | --- | --- | --- | --- |"
        for field in schema:
            yield f"| {' | '.join(_cells(field))} |"


def _cells(field: pa.Field) -> tuple[str, ...]:
    meaning = field.metadata[b"meaning"].decode().replace("|", "\\|")
    text, other = _TYPES[str(field.type)]
    return f"`{field.name}`", text, pandas_kind(field) or other, "yes" if field.nullable else "no", meaning
