"""The rows of a table in CSV, JSON lines or Parquet, as texts."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SUFFIXES = (".csv", ".jsonl", ".parquet")


def table_rows(path: str, content: bytes) -> list[dict[str, str]]:
    """Every row, given the file's name and content; a list of values has semicolons between them.

    Raises:
        ValueError, AttributeError: it is no such table.
    """
    try:
        rows = _parsed(path, content)
    except (csv.Error, pa.ArrowException) as error:
        raise ValueError(str(error)) from error
    return [{key: _text(value) for key, value in row.items()} for row in rows]


def _parsed(path: str, content: bytes) -> list[dict[str, Any]]:
    if path.endswith(".parquet"):
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
        return rows
    text = content.decode("utf-8-sig")
    if path.endswith(".jsonl"):
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return list(csv.DictReader(io.StringIO(text)))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(map(str, value))
    return "" if value is None or value != value else str(value)
