"""Records of segments: which rows there are, and where.

    records/ID.parquet   of the segment ID: a line a row, in their order, its key in column `sha256`; or
                         of many segments: also which `segment` and `row` a line is of, and its `arrays`

What appends writes a small one; `merge` puts one in place of many. It is written before these are removed,
and holds the same rows: whoever reads meanwhile, or after a crash, finds each at least once.
"""

from __future__ import annotations

import json
import secrets
import time
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import DamagedStoreError
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from storage.store.tables import parse_table, table_bytes, texts

_MANY = 64  # small records that are worth merging
_LARGEST = 2**16  # rows of a record that is merged further: damage to one costs no more
_ARRAYS = b"arrays"
_PLACE = ("segment", "row", "arrays")  # columns of a merged record alone
UNREADABLE = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)


def new_name() -> str:
    """A name for a segment or a record, in the order of time."""
    return f"{time.time_ns():016x}-{secrets.token_hex(4)}"


class Place(NamedTuple):
    """Where a row lies: its segment, its number there, and the digests of the arrays' metadata by name."""

    segment: str
    row: int
    arrays: Mapping[str, str]


@dataclass(frozen=True)
class _Record:
    """A file of records as it was read."""

    name: str
    table: pa.Table

    @classmethod
    def parse(cls, name: str, content: bytes) -> _Record:
        table = parse_table(content).combine_chunks()
        if "segment" in table.column_names:
            for column in ("segment", "arrays"):  # of few values
                place = table.column_names.index(column)
                table = table.set_column(place, column, table[column].dictionary_encode())
        record = cls(name, table)
        table["sha256"]
        if table.num_rows:
            record.place(0)
        return record

    @property
    def is_merged(self) -> bool:
        return "segment" in self.table.column_names

    @cached_property
    def keys(self) -> list[str]:
        keys: list[str] = self.table["sha256"].to_pylist()
        return keys

    @cached_property
    def segments(self) -> set[str]:
        return set(pc.unique(self.table["segment"]).to_pylist()) if self.is_merged else {self.name}

    @cached_property
    def lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.table.drop_columns(
            [name for name in _PLACE if name in self.table.column_names]
        ).to_pylist()
        return lines

    def place(self, at: int) -> Place:
        if not self.is_merged:
            return Place(self.name, at, _digests(self.table.schema.metadata[_ARRAYS]))
        segment, row, arrays = (self.table[name][at].as_py() for name in _PLACE)
        return Place(segment, row, _digests(arrays))

    def merged(self, but: Collection[str] = ()) -> pa.Table:
        """The table as of a merged record, without the rows of some segments."""
        if not self.is_merged:
            count = self.table.num_rows
            arrays = self.table.schema.metadata[_ARRAYS].decode()
            values = (texts([self.name] * count), pa.array(np.arange(count, dtype=np.int32)))
            table = self.table.replace_schema_metadata(None)
            for name, column in zip(_PLACE, (*values, texts([arrays] * count)), strict=True):
                table = table.append_column(name, column)
            return table
        table = self._plain()
        dropped = texts(sorted(self.segments & {*but}))
        return table.filter(pc.invert(pc.is_in(table["segment"], value_set=dropped)))

    def by_segment(self) -> dict[str, tuple[int, Mapping[str, str]]]:
        """The number of rows of each segment, and the digests of its arrays."""
        if not self.is_merged:
            return {self.name: (self.table.num_rows, _digests(self.table.schema.metadata[_ARRAYS]))}
        groups = self._plain().group_by(["segment", "arrays"]).aggregate([("row", "max")])
        return {
            group["segment"]: (group["row_max"] + 1, _digests(group["arrays"]))
            for group in groups.to_pylist()
        }

    def _plain(self) -> pa.Table:
        """The table without encodings."""
        kinds = {"segment": pa.string(), "arrays": pa.string()}
        return self.table.cast(
            pa.schema([each.with_type(kinds.get(each.name, each.type)) for each in self.table.schema])
        )


class Records:
    """The records in a folder."""

    def __init__(self, store: Store, folder: Location) -> None:
        """Open the folder, which need not exist yet; nothing is read."""
        self._store = store
        self._folder = folder
        self._read: list[_Record] = []
        self._firsts: list[int] = []
        self._places: dict[str, int] | None = None
        self._is_stale = True

    def refresh(self) -> None:
        """Look again before the next answer; only what is new is read."""
        self._is_stale = True

    def __contains__(self, key: object) -> bool:
        """Whether a row with this key is recorded."""
        return key in self._positions()

    def __len__(self) -> int:
        """Number of distinct keys."""
        return len(self._positions())

    def place(self, key: str) -> Place:
        """Where the row of a key lies, the first of them; KeyError if there is none."""
        record, at = self._found(key)
        return record.place(at)

    def line(self, key: str) -> dict[str, Any]:
        """What is recorded of a key; KeyError if there is none."""
        record, at = self._found(key)
        return record.lines[at]

    def names(self) -> list[str]:
        """The names of the files."""
        return [path.stem for path in self._paths()]

    def keys(self) -> dict[str, set[str]]:
        """The keys of each segment that is recorded.

        Raises:
            DamagedStoreError: a file is damaged.
        """
        self._positions()
        found: dict[str, set[str]] = {}
        for record in self._read:
            segments = (
                record.table["segment"].to_pylist() if record.is_merged else [record.name] * len(record.keys)
            )
            for segment, key in zip(segments, record.keys, strict=True):
                found.setdefault(segment, set()).add(key)
        return found

    def segments(self, name: str) -> dict[str, tuple[int, Mapping[str, str]]]:
        """By segment, the number of rows and the digests of arrays that a file records.

        Raises:
            OSError, ValueError, KeyError, TypeError, pa.ArrowException: the file is damaged.
        """
        return _Record.parse(name, read_bytes(self._path(name))).by_segment()

    def append(self, segment: str, rows: pa.Table, arrays: Mapping[str, str]) -> None:
        """Record the rows of a segment, whose data are written."""
        rows = rows.replace_schema_metadata({_ARRAYS: json.dumps(arrays, sort_keys=True)})
        self._store.write(self._path(segment), table_bytes(rows))
        self.refresh()

    def merge(self) -> bool:
        """Put one record in place of many small ones, if there are many; whether there were.

        Others may append and read meanwhile. Records that were merged before are merged again with as many
        new rows as they have, up to a size: a row is written anew a few times in all.
        """
        self.refresh()
        self._positions()
        large = [record for record in self._read if record.is_merged]
        small = [record for record in self._read if not record.is_merged]
        if len(small) < _MANY:
            return False
        total = sum(record.table.num_rows for record in small)
        taken, known = list(small), {segment for record in large for segment in record.segments}
        for record in sorted(large, key=lambda record: record.table.num_rows):
            if record.table.num_rows > 2 * total or record.table.num_rows >= _LARGEST:
                break
            total += record.table.num_rows
            taken.append(record)
            known -= record.segments
        chosen = []
        for record in sorted(taken, key=lambda record: record.name):
            if record.segments - known:  # else another record has them: a merge was cut off
                chosen.append((record, record.segments & known))
                known |= record.segments
        self._replace(taken, (record.merged(but) for record, but in chosen))
        return True

    def drop(self, segments: Collection[str]) -> None:
        """Forget the rows of segments, or a damaged file by its name; only while nobody merges."""
        names = self.names()
        self._store.discard([self._path(name) for name in names if name in segments])
        for name in names:
            try:
                record = _Record.parse(name, read_bytes(self._path(name)))
            except UNREADABLE:  # it is dropped by its own name
                continue
            if record.segments & {*segments}:
                rest = record.merged(segments)
                self._replace([record], [rest] if rest.num_rows else [])
        self.refresh()

    def _replace(self, old: Sequence[_Record], tables: Iterable[pa.Table]) -> None:
        """Write tables as merged records of about the largest size, then remove those that they stand for."""
        batch: list[pa.Table] = []
        for table in chain(tables, [None]):
            batch += [] if table is None else [table]
            if batch and (table is None or sum(each.num_rows for each in batch) >= _LARGEST):
                whole = pa.concat_tables(batch, promote_options="default").combine_chunks()
                self._store.write(self._path(new_name()), table_bytes(whole))
                batch = []
        self._store.discard([self._path(record.name) for record in old])
        self.refresh()

    def _found(self, key: str) -> tuple[_Record, int]:
        position = self._positions()[key]
        number = bisect_right(self._firsts, position) - 1
        return self._read[number], position - self._firsts[number]

    def _positions(self) -> dict[str, int]:
        """The position of each key among the lines of all files, its first."""
        if self._is_stale or self._places is None:
            self._update()
        if self._places is None:
            self._places, self._firsts, total = {}, [], 0
            for record in self._read:
                self._firsts.append(total)
                for position, key in enumerate(record.keys, start=total):
                    self._places.setdefault(key, position)
                total += len(record.keys)
        return self._places

    def _update(self) -> None:
        """Read what is new, until a listing shows nothing new: it may have missed what was merged meanwhile.

        Raises:
            DamagedStoreError: a file is damaged.
        """
        read = {record.name: record for record in self._read}
        absent: set[str] = set()
        while True:
            names = self.names()
            new = [name for name in names if name not in read]
            if not new:
                break
            for name, content in zip(new, self._store.read_present([*map(self._path, new)]), strict=True):
                try:
                    if content is not None:
                        read[name] = _Record.parse(name, content)
                    elif name in absent:
                        raise FileNotFoundError("it is listed, and absent")
                except UNREADABLE as error:
                    raise DamagedStoreError(self._path(name), error, self._store.root) from error
                absent.add(name)
        if names != [record.name for record in self._read]:
            self._read, self._places = [read[name] for name in names], None
        self._is_stale = False

    def _paths(self) -> list[Location]:
        return self._store.entries(self._folder, ".parquet")

    def _path(self, name: str) -> Location:
        return self._folder / f"{name}.parquet"


def _digests(text: str | bytes) -> dict[str, str]:
    return dict(json.loads(text))
