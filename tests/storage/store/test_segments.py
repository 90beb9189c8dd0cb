from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from tampering import delete, entries, files_below, flip, halve, overwrite, replace

from storage.errors import DamagedStoreError, StoreError
from storage.store.location import Location, read_bytes
from storage.store.segments import Segments
from storage.store.store import Store

A, B, C, D = (hashlib.sha256(name).hexdigest() for name in (b"a", b"b", b"c", b"d"))


@pytest.fixture
def group(store: Store) -> Location:
    return store.features("key")


@pytest.fixture
def rows(store: Store, group: Location) -> Segments:
    """Rows A and B in one segment."""
    segments = Segments(store, group)
    append(segments, [A, B], [1, 2])
    return segments


def values_of(seeds: Sequence[int], dtype: str = "float16") -> NDArray[Any]:
    return np.stack([np.random.default_rng(seed).normal(size=(3, 4, 5)).astype(dtype) for seed in seeds])


def append(segments: Segments, keys: Sequence[str], seeds: Sequence[int]) -> None:
    """Rows whose arrays `level` and `flat` follow from their seed."""
    level = values_of(seeds)
    segments.append(
        pa.table({"sha256": keys, "seed": seeds}), {"level": level, "flat": level[:, 0, 0].astype(np.float32)}
    )


def read_both(segments: Segments) -> None:
    for key in (A, B):
        segments.read(key, "level")


def segment_of(group: Location) -> Location:
    (segment,) = entries(group / "segments")
    return segment


def record_of(group: Location) -> Location:
    (record,) = entries(group / "records")
    return record


def segment_of_record(group: Location) -> Location:
    """The folder of the only segment, which need not be there."""
    return group / "segments" / record_of(group).stem


def shard_of(group: Location) -> Location:
    (shard,) = (path for path in files_below(segment_of(group) / "level") if path.name != "zarr.json")
    return shard


def metadata_of(group: Location) -> Location:
    return segment_of(group) / "level" / "zarr.json"


def test_rows_come_back_as_they_were_written(store: Store, group: Location, rows: Segments) -> None:
    append(rows, [C], [3])
    found = Segments(store, group)
    assert len(found) == 3
    for key, seed in ((A, 1), (B, 2), (C, 3)):
        level = found.read(key, "level")
        assert level.dtype == np.float16
        np.testing.assert_array_equal(level, values_of([seed])[0])
        assert found.read(key, "flat").dtype == np.float32
        assert found.record(key) == {"sha256": key, "seed": seed}


def test_a_group_that_was_never_written_is_empty(store: Store, group: Location) -> None:
    segments = Segments(store, group)
    assert len(segments) == 0
    assert A not in segments
    assert segments.damaged() == []
    assert segments.unrecorded() == []
    assert not store.exists(group)


def test_a_key_that_was_not_written_is_no_key(rows: Segments) -> None:
    assert A in rows
    assert C not in rows
    with pytest.raises(KeyError, match=C):
        rows.read(C, "level")
    with pytest.raises(KeyError, match=C):
        rows.record(C)


def test_a_segment_without_a_record_does_not_exist(store: Store, group: Location, rows: Segments) -> None:
    append(rows, [C], [3])
    (record,) = (path for path in entries(group / "records") if C.encode() in read_bytes(path))
    delete(record)
    found = Segments(store, group)
    assert C not in found
    assert len(found) == 2
    assert found.unrecorded() == [record.stem]
    assert found.damaged() == []


def test_what_another_writer_appends_is_seen_after_a_refresh(
    store: Store, group: Location, rows: Segments
) -> None:
    assert C not in rows
    append(Segments(store, group), [C], [3])
    assert C not in rows
    rows.refresh()
    assert C in rows
    np.testing.assert_array_equal(rows.read(C, "level"), values_of([3])[0])


def test_concurrent_writers_lose_nothing(store: Store, group: Location) -> None:
    start = threading.Barrier(2)
    keys = {seed: hashlib.sha256(bytes([seed])).hexdigest() for seed in range(12)}

    def write(seeds: Sequence[int]) -> None:
        segments = Segments(store, group)
        start.wait()
        for first in range(0, len(seeds), 2):
            batch = seeds[first : first + 2]
            append(segments, [keys[seed] for seed in batch], batch)

    writers = [threading.Thread(target=write, args=(range(first, first + 6),)) for first in (0, 6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = Segments(store, group)
    assert len(found) == 12
    for seed, key in keys.items():
        np.testing.assert_array_equal(found.read(key, "level"), values_of([seed])[0])
    assert found.damaged() == []
    assert found.unrecorded() == []


def test_the_first_record_of_a_key_counts(store: Store, group: Location, rows: Segments) -> None:
    append(rows, [B, C], [20, 3])
    for found in (rows, Segments(store, group)):
        assert len(found) == 3
        assert found.record(B)["seed"] == 2
        np.testing.assert_array_equal(found.read(B, "level"), values_of([2])[0])
        np.testing.assert_array_equal(found.read(C, "level"), values_of([3])[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_with_the_remedy(
    store: Store, group: Location, bad: float
) -> None:
    segments = Segments(store, group)
    level = values_of([1, 2])
    level[1, 2, 3, 4] = bad
    with pytest.raises(ValueError, match=r"level .*float16.*--dtype float32"):
        segments.append(pa.table({"sha256": [A, B]}), {"flat": values_of([1, 2]), "level": level})
    assert A not in segments
    assert segments.unrecorded() == []


def test_arrays_of_another_length_are_refused(store: Store, group: Location) -> None:
    segments = Segments(store, group)
    with pytest.raises(ValueError, match="array level has 1 rows for 2 records"):
        segments.append(pa.table({"sha256": [A, B]}), {"level": values_of([1])})
    assert segments.unrecorded() == []


def test_the_description_is_written_once(store: Store, group: Location) -> None:
    segments = Segments(store, group)
    segments.describe({"backbone": "resnet18", "dtype": "float16"})
    segments.describe({"backbone": "other"})
    assert json.loads(read_bytes(group / "group.json")) == {"backbone": "resnet18", "dtype": "float16"}


DAMAGE: dict[str, Callable[[Location], object]] = {
    "a bit of the shard": lambda group: flip(shard_of(group), 10),
    "a bit of the shard's index": lambda group: flip(shard_of(group), -20),
    "a truncated shard": lambda group: halve(shard_of(group)),
    "an empty shard": lambda group: overwrite(shard_of(group), b""),
    "a deleted shard": lambda group: delete(shard_of(group)),
    "a deleted array": lambda group: delete(segment_of(group) / "level"),
    "a deleted segment": lambda group: delete(segment_of(group)),
    "metadata that are gone": lambda group: delete(metadata_of(group)),
    "metadata cut short": lambda group: halve(metadata_of(group)),
    # one bit of the array's metadata: valid JSON, and no array
    "a bit of a field's name": lambda group: replace(metadata_of(group), b'"data_type"', b'"data_typd"'),
    "a bit of an argument's name": lambda group: replace(metadata_of(group), b'"endian"', b'"enddan"'),
}


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_data_are_named_with_the_remedy_and_found(
    store: Store, group: Location, rows: Segments, kind: str
) -> None:
    segment = segment_of(group)
    DAMAGE[kind](group)
    found = Segments(store, group)
    with pytest.raises(DamagedStoreError, match=f"{segment}.*spade repair --store '{store.root}'"):
        read_both(found)
    ((name, reason),) = found.damaged()
    assert name == segment.name == record_of(group).stem
    assert reason
    assert len(rows) == 2  # the record is whole


@pytest.mark.parametrize(
    "damage",
    [halve, lambda path: flip(path, 60), lambda path: overwrite(path, b"")],
    ids=["truncated", "a bit", "empty"],
)
def test_a_damaged_record_is_named_with_the_remedy_and_found(
    store: Store, group: Location, rows: Segments, damage: Callable[[Location], object]
) -> None:
    record = record_of(group)
    damage(record)
    rows = Segments(rows._store, group)
    with pytest.raises(DamagedStoreError, match=f"{record}.*spade repair --store '{store.root}'"):
        rows.read(A, "level")
    with pytest.raises(DamagedStoreError, match=f"{record}"):
        _ = A in rows
    ((name, reason),) = rows.damaged()
    assert name == record.stem
    assert reason


def test_a_bit_of_a_records_column_name_is_noticed(group: Location, rows: Segments) -> None:
    """Parquet has no checksum of its own over the names of its columns."""
    record = record_of(group)
    replace(record, b"sha256", b"sha257")
    rows = Segments(rows._store, group)
    with pytest.raises(DamagedStoreError, match=f"{record}"):
        _ = A in rows
    assert [name for name, _ in rows.damaged()] == [record.stem]


def test_rows_of_an_array_are_read_together(store: Store, group: Location, rows: Segments) -> None:
    append(rows, [C, D], [3, 4])
    found = Segments(store, group).read_all([D, A, C, A], "flat")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values_of([4, 1, 3, 1])[:, 0, 0].astype(np.float32))
    with pytest.raises(KeyError, match="absent"):
        rows.read_all([A, "absent"], "flat")


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_data_are_named_when_rows_are_read_together(
    group: Location, rows: Segments, kind: str
) -> None:
    DAMAGE[kind](group)
    with pytest.raises(DamagedStoreError, match=f"{segment_of_record(group)}.*spade repair"):
        rows.read_all([A, B], "level")


def counted(fetch: Callable[..., Any], requests: list[str]) -> Callable[..., Any]:
    """The same function, which notes the keys that it is asked for."""

    def count(objects: object, key: str, **limits: Any) -> Any:
        requests.append(key)
        return fetch(objects, key, **limits)

    return count


def test_a_row_in_a_bucket_is_one_request(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(f"{bucket}/store", create=True)
    rows = Segments(store, store.features("key"))
    append(rows, [A, B, C], [1, 2, 3])
    assert len(rows) == 3
    requests: list[str] = []
    for name in ("get", "get_range"):
        monkeypatch.setattr(obstore, name, counted(getattr(obstore, name), requests))
    for key, seed in ((A, 1), (C, 3), (B, 2)):
        np.testing.assert_array_equal(rows.read(key, "level"), values_of([seed])[0])
    metadata, index, *chunks = requests
    assert metadata.endswith("level/zarr.json")
    assert chunks == [index] * 3
    requests.clear()
    Segments(store, store.features("key")).read_all([A, B, C], "level")
    assert [key.split("/")[3] for key in requests] == ["records", "segments", "segments"]


def test_a_bucket_that_refuses_has_lost_nothing(bucket: str, refuse: Callable[[], None]) -> None:
    """What cannot be reached for a while must not be reported as damaged: a repair would drop it."""
    store = Store.open(f"{bucket}/store", create=True)
    rows = Segments(store, store.features("key"))
    append(rows, [A, B], [1, 2])
    rows.read(A, "flat")  # its metadata are known from now on
    refuse()
    refused: tuple[Callable[[], object], ...] = (
        lambda: rows.read(A, "flat"),
        lambda: rows.read_all([A], "flat"),
        lambda: rows.read(A, "level"),
        lambda: Segments(store, store.features("key")).missing([A]),
        lambda: append(rows, [C], [3]),
        rows.damaged,
        rows.unrecorded,
    )
    for access in refused:
        with pytest.raises(StoreError, match=r"cannot be used \(.*AWS_ACCESS_KEY_ID") as raised:
            access()
        assert not isinstance(raised.value, DamagedStoreError)


def test_whole_segments_are_not_damaged(rows: Segments) -> None:
    append(rows, [C, D], [3, 4])
    assert rows.damaged() == []
    assert rows.unrecorded() == []
