"""Append-only rows of arrays: each batch is an immutable Zarr group, recorded after its data is on disk.

    GROUP/group.json            what the rows are
    GROUP/segments/ID/ARRAY/    Zarr 3, one row a chunk, one shard an array; zstd, then crc32c
    GROUP/records/ID.parquet    one line a row of the segment, its key in column `sha256`; written last

What has no record does not exist. A segment has one writer and is never changed, so batches, categories
and processes can append at the same time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import zarr
from numpy.typing import NDArray
from zarr.abc.buffer import Buffer
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from storage.errors import DamagedStoreError, StoreError
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from storage.store.tables import parse_table, table_bytes

_UNREADABLE_RECORD = (pa.ArrowException, OSError, KeyError, ValueError, TypeError)


class Segments:
    """Rows of arrays under `group`, found by a SHA-256."""

    def __init__(self, store: Store, group: Location) -> None:
        """Open the group, which need not exist yet; what others append later is seen after `refresh`."""
        self._store = store
        self._group = group
        self._arrays: dict[tuple[str, str], zarr.Array[Any]] = {}

    def describe(self, description: Mapping[str, Any]) -> None:
        """Keep a readable statement of what the rows are beside them."""
        path = self._group / "group.json"
        if not self._store.exists(path):
            self._store.write(path, json.dumps(description, indent=1, sort_keys=True).encode())

    def append(self, rows: pa.Table, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a batch of B rows: `rows` with a column `sha256`, and arrays (B, ...) by name.

        Raises:
            ValueError: lengths differ, or a value is not finite (NaN marks what was never written).
        """
        segment = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
        for name, values in arrays.items():
            if len(values) != rows.num_rows:
                raise ValueError(f"array {name} has {len(values)} rows for {rows.num_rows} records")
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{name} has values that are not finite, or that {values.dtype} cannot hold: "
                    "use --dtype float32, or weights that fit the backbone"
                )
        files: dict[str, Buffer] = {}
        zarr_group = zarr.create_group(MemoryStore(files))
        for name, values in arrays.items():
            array = zarr_group.create_array(
                name,
                shape=values.shape,
                chunks=(1, *values.shape[1:]),
                shards=values.shape,
                chunk_key_encoding={"name": "default", "separator": "."},  # one file, and no folder an axis
                dtype=values.dtype,
                fill_value=np.nan,
                compressors=[ZstdCodec(level=1), Crc32cCodec()],
            )
            array[:] = values
        folder = self._segment(segment)
        contents = {folder / name: content.to_bytes() for name, content in files.items()}
        self._store.write_all(contents)
        digests = {name: _digest(contents[folder / name / "zarr.json"]) for name in arrays}
        rows = rows.replace_schema_metadata({"arrays": json.dumps(digests, sort_keys=True)})
        self._store.write(self._record(segment), table_bytes(rows))
        self.refresh()

    def refresh(self) -> None:
        """Forget the records read so far."""
        self.__dict__.pop("_recorded", None)

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record by now, each once, in their order."""
        self.refresh()
        return [key for key in dict.fromkeys(keys) if key not in self]

    @cached_property
    def _recorded(self) -> tuple[dict[str, tuple[str, int, dict[str, Any]]], dict[str, dict[str, str]]]:
        """Segment, row and record of each key (its first counts); the arrays of each segment."""
        rows: dict[str, tuple[str, int, dict[str, Any]]] = {}
        arrays = {}
        paths = self._store.entries(self._group / "records", ".parquet")
        path = self._group / "records"
        try:
            for path, content in zip(paths, self._store.read_all(paths), strict=True):
                lines, arrays[path.stem] = _parse_record(content)
                for row, line in enumerate(lines):
                    rows.setdefault(line["sha256"], (path.stem, row, line))
        except _UNREADABLE_RECORD as error:
            raise DamagedStoreError(path, error, self._store.root) from error
        return rows, arrays

    @property
    def _rows(self) -> dict[str, tuple[str, int, dict[str, Any]]]:
        return self._recorded[0]

    def __contains__(self, sha256: object) -> bool:
        """Whether a row with this key is recorded."""
        return sha256 in self._rows

    def __len__(self) -> int:
        """Number of distinct keys."""
        return len(self._rows)

    def record(self, sha256: str) -> dict[str, Any]:
        """The record of a key; KeyError if there is none."""
        return self._rows[sha256][2]

    def read(self, sha256: str, array: str) -> NDArray[Any]:
        """One row of one array.

        Raises:
            KeyError: no such key.
            DamagedStoreError: the chunk is missing or fails its checksum.
        """
        rows, arrays = self._recorded
        segment, row, _ = rows[sha256]
        return self._read(segment, array, row, arrays[segment][array])

    def read_all(self, keys: Sequence[str], array: str) -> NDArray[Any]:
        """One row (N, ...) a key, of one array of which all rows of a segment fit into memory.

        Raises:
            KeyError: no such key.
            DamagedStoreError: a segment with one of the keys is not whole.
        """
        rows, arrays = self._recorded
        names = list(dict.fromkeys(rows[key][0] for key in keys))

        def whole(segment: str) -> NDArray[Any]:
            return self._read(segment, array, slice(None), arrays[segment][array])

        segments = dict(zip(names, self._group.medium.at_once(whole, names), strict=True))
        return np.stack([segments[rows[key][0]][rows[key][1]] for key in keys])

    def damaged(self) -> list[tuple[list[Location], str]]:
        """Segments that do not read back whole: their files, the record first, and the reason."""
        found: list[tuple[list[Location], str]] = []
        for record in self._store.entries(self._group / "records", ".parquet"):
            try:
                lines, arrays = _parse_record(read_bytes(record))
                for row, line in enumerate(lines):
                    line["sha256"]
                    for name, metadata in arrays.items():
                        self._read(record.stem, name, row, metadata)
            except (*_UNREADABLE_RECORD, DamagedStoreError) as error:
                found.append(([record, self._segment(record.stem)], str(error)))
        return found

    def unrecorded(self) -> list[Location]:
        """Segments without a record: left by a writer that was killed, or still being written."""
        recorded = {path.stem for path in self._store.entries(self._group / "records", ".parquet")}
        return [path for path in self._store.entries(self._group / "segments") if path.name not in recorded]

    def _read(self, segment: str, name: str, row: int | slice, metadata: str) -> NDArray[Any]:
        path = self._segment(segment) / name
        what = f"{path}, row {row}," if isinstance(row, int) else path
        try:
            if (segment, name) not in self._arrays:
                self._arrays[segment, name] = _open_array(path, metadata)
            values = np.asarray(self._arrays[segment, name][row])
        except StoreError:  # the bucket's
            raise
        except Exception as error:  # zarr raises what it likes on damaged files
            raise DamagedStoreError(what, error, self._store.root) from error
        first = values.flat[0] if isinstance(row, int) else values.reshape(len(values), -1)[:, 0]
        if np.isnan(first).any():
            raise DamagedStoreError(what, "its chunk is missing", self._store.root)
        return values

    def _segment(self, segment: str) -> Location:
        return self._group / "segments" / segment

    def _record(self, segment: str) -> Location:
        return self._group / "records" / f"{segment}.parquet"


def _open_array(path: Location, digest: str) -> zarr.Array[Any]:
    """The array whose metadata have this digest; ValueError if they have another."""
    metadata = read_bytes(path / "zarr.json")
    if _digest(metadata) != digest:
        raise ValueError("its zarr.json is not the one recorded")
    return zarr.Array.from_dict(path.medium.arrays(path.path), json.loads(metadata))


def _digest(metadata: bytes) -> str:
    return hashlib.sha256(metadata).hexdigest()


def _parse_record(content: bytes) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The lines of a record, and the digest of the metadata of each array."""
    table = parse_table(content)
    return table.to_pylist(), json.loads(table.schema.metadata[b"arrays"])
