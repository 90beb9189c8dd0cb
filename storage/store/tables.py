"""Parquet, to and from bytes, the same bytes for the same rows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.store.location import Location, read_bytes

_END = 2**17  # bytes


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


def texts(values: Sequence[str]) -> pa.Array:
    """Texts as an array; pa.array and pa.repeat would import pandas."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def read_table(path: Location) -> pa.Table:
    """The table in one Parquet file, its checksums verified, whatever its folder is called."""
    return parse_table(read_bytes(path))


def parse_table(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in a Parquet file of this content, its checksums verified; only columns named that it has."""
    return _read(pa.BufferReader(content), columns)


def read_columns(path: Location, size: int, columns: Sequence[str] | None) -> pa.Table:
    """As `parse_table`, of a large file of this size in bytes: only what the columns need is fetched."""
    return _read(pa.PythonFile(_Parts(path, size), "r"), columns)


def _read(source: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
    file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=True)
    if columns is not None:
        columns = [name for name in columns if name in file.schema_arrow.names]
    # a thread of Arrow's pool that lets go of Python's bytes while Python ends would abort the process
    return file.read(columns, use_threads=False)


class _Parts(io.RawIOBase):
    """A file of which parts are read; its end, where Parquet says what lies where, is fetched once."""

    def __init__(self, path: Location, size: int) -> None:
        self._path, self._size, self._position = path, size, 0
        self._end: bytes | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = (
            offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        )
        return self._position

    def read(self, size: int = -1) -> bytes:
        length = self._size - self._position if size < 0 else min(size, self._size - self._position)
        first = max(0, self._size - _END)
        if self._position >= first:
            if self._end is None:
                self._end = self._fetch(first, self._size - first)
            content = self._end[self._position - first :][:length]
        else:
            content = self._fetch(self._position, length)
        self._position += len(content)
        return content

    def _fetch(self, start: int, length: int) -> bytes:
        return self._path.medium.read_part(self._path.path, start, length)
