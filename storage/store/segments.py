"""Append-only rows of arrays: each batch is an immutable Zarr group, recorded after its data is on disk.

    GROUP/group.json            what the rows are
    GROUP/segments/ID/ARRAY/    Zarr 3, one row a chunk, one shard an array; zstd, then crc32c
    GROUP/records/ID.parquet    one line a row of the segment; written last, merged later (records.py)

What has no record does not exist. A segment has one writer and is never changed, so batches, categories
and processes can append at the same time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import product
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
from storage.store.records import UNREADABLE, Place, Records, new_name
from storage.store.store import Store

_DESCRIPTION = "group.json"
_NOT_JSON = (ValueError, TypeError)


class Segments:
    """Rows of arrays under `group`, found by a SHA-256."""

    def __init__(self, store: Store, group: Location) -> None:
        """Open the group, which need not exist yet; what others append later is seen after `refresh`."""
        self._store = store
        self._group = group
        self._records = Records(store, group / "records")
        self._arrays: dict[tuple[str, str], zarr.Array[Any]] = {}

    def describe(self, description: Mapping[str, Any]) -> None:
        """Keep a readable statement of what the rows are beside them."""
        if not self.is_described():
            content = json.dumps(description, indent=1, sort_keys=True).encode()
            self._store.write(self._group / _DESCRIPTION, content)

    def is_described(self) -> bool:
        """Whether there is such a statement."""
        return self._store.exists(self._group / _DESCRIPTION)

    def forget_description(self) -> None:
        """Remove that statement; the next that appends makes it anew."""
        self._store.remove([self._group / _DESCRIPTION])

    def damaged_description(self) -> str | None:
        """What is wrong with that statement, or None."""
        try:
            _described(self._store.read_present([self._group / _DESCRIPTION])[0])
        except _NOT_JSON as error:
            return str(error)
        return None

    def append(self, rows: pa.Table, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write a batch of B rows: `rows` with a column `sha256`, and arrays (B, ...) by name.

        Raises:
            ValueError: lengths differ, or a value is not finite (NaN marks what was never written).
        """
        segment = new_name()
        for name, values in arrays.items():
            if len(values) != rows.num_rows:
                raise ValueError(f"array {name} has {len(values)} rows for {rows.num_rows} records")
            if not _is_finite(values):
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
                config={"write_empty_chunks": True},  # none is, so that none is looked through
                compressors=[ZstdCodec(level=1), Crc32cCodec()],
            )
            array[:] = values
        folder = self.segment(segment)
        contents = {folder / name: content.to_bytes() for name, content in files.items()}
        self._store.write_all(contents)
        digests = {name: _digest(contents[folder / name / "zarr.json"]) for name in arrays}
        self._records.append(segment, rows, digests)

    def refresh(self) -> None:
        """See what was recorded since."""
        self._records.refresh()

    def merge(self) -> bool:
        """Put few records in place of many, so that the group opens quickly; others may append meanwhile.

        Whether there were so many.
        """
        return self._records.merge()

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of the keys that have no record by now, each once, in their order."""
        self.refresh()
        return [key for key in dict.fromkeys(keys) if key not in self]

    def __contains__(self, sha256: object) -> bool:
        """Whether a row with this key is recorded."""
        return sha256 in self._records

    def __len__(self) -> int:
        """Number of distinct keys."""
        return len(self._records)

    def record(self, sha256: str) -> dict[str, Any]:
        """The record of a key; KeyError if there is none."""
        return self._records.line(sha256)

    def read(self, sha256: str, array: str) -> NDArray[Any]:
        """One row of one array.

        Raises:
            KeyError: no such key.
            DamagedStoreError: the chunk is missing or fails its checksum.
        """
        segment, row, arrays = self._records.place(sha256)
        return self._read(segment, array, row, arrays[array])

    def read_all(self, keys: Sequence[str], array: str) -> NDArray[Any]:
        """One row (N, ...) a key, of one array of which all rows of a segment fit into memory.

        Raises:
            KeyError: no such key.
            DamagedStoreError: a segment with one of the keys is not whole.
        """
        places = [self._records.place(key) for key in keys]
        by_name = {place.segment: place for place in places}

        def whole(place: Place) -> NDArray[Any]:
            return self._read(place.segment, array, slice(None), place.arrays[array])

        read = self._group.medium.at_once(whole, list(by_name.values()))
        segments = dict(zip(by_name, read, strict=True))
        return np.stack([segments[place.segment][place.row] for place in places])

    def damaged(self) -> list[tuple[str, str]]:
        """Segments, or records, that do not read back whole, and the reason; `drop` takes these names."""
        found = {}
        for name in self._records.names():
            try:
                segments = self._records.segments(name)
            except UNREADABLE as error:
                found[name] = str(error)
                continue
            for segment, (rows, arrays) in segments.items():
                try:
                    for row, array in product(range(rows), arrays):
                        self._read(segment, array, row, arrays[array])
                except DamagedStoreError as error:
                    found[segment] = str(error)
        return list(found.items())

    def unrecorded(self) -> list[str]:
        """Segments without a record: left by a writer that was killed, or still being written."""
        recorded = set[str]()
        for name in self._records.names():
            try:
                recorded |= self._records.segments(name).keys()
            except UNREADABLE:  # it is damaged, and with it what it records
                recorded.add(name)
        names = [path.name for path in self._store.entries(self.segment())]
        return [name for name in names if name not in recorded]

    def keys(self) -> dict[str, set[str]]:
        """The keys of each segment that is recorded.

        Raises:
            DamagedStoreError: a record is damaged.
        """
        return self._records.keys()

    def remove(self) -> None:
        """Remove all rows, their records first, and the statement; only while nobody reads or appends."""
        self._store.remove([self._group / "records", self._group])

    def drop(self, segments: Collection[str]) -> None:
        """Remove segments, their records first; only while nobody merges."""
        self._records.drop(segments)
        self._store.remove([self.segment(segment) for segment in segments])

    def _read(self, segment: str, name: str, row: int | slice, metadata: str) -> NDArray[Any]:
        path = self.segment(segment) / name
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

    def segment(self, name: str = "") -> Location:
        """Folder of a segment; without a name, of all."""
        return self._group / "segments" / name


def descriptions(store: Store, groups: Sequence[Location]) -> list[dict[str, Any]]:
    """What the rows of groups are, as `describe` kept it; empty where nothing is kept.

    Raises:
        DamagedStoreError: one is damaged.
    """
    paths = [group / _DESCRIPTION for group in groups]
    found = []
    for path, content in zip(paths, store.read_present(paths), strict=True):
        try:
            found.append(_described(content))
        except _NOT_JSON as error:
            raise DamagedStoreError(path, error, store.root) from error
    return found


def _described(content: bytes | None) -> dict[str, Any]:
    return {} if content is None else dict(json.loads(content))


def _is_finite(values: NDArray[Any]) -> bool:
    """Whether all values are; a half is not where its exponent has every bit, which is told sooner."""
    if values.dtype == np.float16:
        return bool(((values.view(np.uint16) & 0x7C00) != 0x7C00).all())
    return bool(np.isfinite(values).all())


def _open_array(path: Location, digest: str) -> zarr.Array[Any]:
    """The array whose metadata have this digest; ValueError if they have another."""
    metadata = read_bytes(path / "zarr.json")
    if _digest(metadata) != digest:
        raise ValueError("its zarr.json is not the one recorded")
    return zarr.Array.from_dict(path.medium.arrays(path.path), json.loads(metadata))


def _digest(metadata: bytes) -> str:
    return hashlib.sha256(metadata).hexdigest()
