"""Parquet, to and from bytes, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.store.location import Location, read_bytes


def table_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly `schema`; a column a row does not name is null.

    Raises:
        ValueError: a row has what is no column.
    """
    rows = [dict(row) for row in rows]
    unknown = set().union(*rows) - set(schema.names)
    if unknown:
        raise ValueError(f"no column for {', '.join(sorted(unknown))}")
    return pa.Table.from_pylist(rows, schema=schema)


def table_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return bytes(sink.getvalue())


def read_table(path: Location) -> pa.Table:
    """The table in one Parquet file, its checksums verified, whatever its folder is called."""
    return parse_table(read_bytes(path))


def parse_table(content: bytes) -> pa.Table:
    """The table in a Parquet file of this content, its checksums verified."""
    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
