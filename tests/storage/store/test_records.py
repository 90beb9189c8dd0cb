from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from faults import FaultyDisk, kills, on
from tampering import entries, flip, halve, overwrite

from storage.errors import DamagedStoreError
from storage.repair import examine, repair
from storage.store import records
from storage.store.location import Location
from storage.store.segments import Segments
from storage.store.store import Store


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four small records are many, and ten rows are large."""
    monkeypatch.setattr(records, "_MANY", 4)
    monkeypatch.setattr(records, "_LARGEST", 10)


@pytest.fixture
def group(store: Store) -> Location:
    return store.features("key")


def append(store: Store, numbers: Sequence[int]) -> None:
    """Rows whose key, record and array are their number."""
    rows = pa.table({"sha256": [f"{number}" for number in numbers], "seed": list(numbers)})
    values = np.array(numbers, np.float32)[:, None]
    arrays = {"level": values} if numbers[0] % 2 else {"level": values, "flat": values}
    Segments(store, store.features("key")).append(rows, arrays)


def check(store: Store, numbers: Sequence[int]) -> None:
    """The group has these rows, each as it was written."""
    found = Segments(store, store.features("key"))
    assert len(found) == len(numbers)
    for number in numbers:
        assert found.record(f"{number}") == {"sha256": f"{number}", "seed": number}
        assert found.read(f"{number}", "level").tolist() == [number]
    everything = found.read_all([f"{number}" for number in numbers], "level")
    assert everything[:, 0].tolist() == list(numbers)


def files(store: Store) -> int:
    return len(store.entries(store.features("key") / "records"))


def merge(store: Store) -> bool:
    return Segments(store, store.features("key")).merge()


def test_merged_records_say_what_the_small_ones_said(store: Store) -> None:
    for first in range(0, 12, 3):
        assert not merge(store)
        append(store, range(first, first + 3))
    opened = Segments(store, store.features("key"))
    assert len(opened) == 12
    assert merge(store)
    assert files(store) == 1
    check(store, range(12))
    append(store, [12])
    opened.refresh()  # what it had read is gone, and is still known
    assert opened.missing(["3", "12", "13"]) == ["13"]
    assert opened.read("11", "level").tolist() == [11]
    assert opened.damaged() == []
    assert opened.unrecorded() == []


def test_a_row_is_written_anew_a_few_times_and_no_record_grows_for_ever(store: Store) -> None:
    for number in range(60):
        append(store, [number])
        merge(store)
        assert files(store) <= number / 10 + 7
    check(store, range(60))


def test_the_first_row_of_a_key_counts_before_and_after(store: Store, group: Location) -> None:
    for seed in range(5):
        rows = pa.table({"sha256": ["key", f"{seed}"], "seed": [seed, seed]})
        Segments(store, group).append(rows, {})
    assert merge(store)
    assert Segments(store, group).record("key")["seed"] == 0
    assert len(Segments(store, group)) == 6


def test_killed_at_any_change_a_merge_loses_nothing_and_is_finished_by_the_next(tmp_path: Path) -> None:
    whole = Store.open(tmp_path / "store", create=True)
    for number in range(8):
        append(whole, [number])
    merge(whole)
    for number in range(8, 16):
        append(whole, [number])
    for store in kills(whole, merge, tmp_path / "kills"):
        check(store, range(16))
        merge(store)
        for number in range(16, 20):
            append(store, [number])
        merge(store)
        check(store, range(20))
        assert examine(store) == []


def test_a_merge_at_any_moment_of_an_append_loses_nothing(tmp_path: Path) -> None:
    for moment in range(5):
        store = Store.open(tmp_path / f"{moment}", create=True)
        for number in range(6):
            append(store, [number])

        def beside(change: int, at: int = moment, store: Store = store) -> None:
            if change == at:
                merge(store)

        append(on(FaultyDisk(beside), store), [6])
        check(store, range(7))


def test_others_append_and_read_while_two_merge(store: Store) -> None:
    append(store, [0])
    done, failures = threading.Event(), list[BaseException]()
    written = [0]

    def write() -> None:
        for number in range(1, 16):
            append(store, [number])
            written.append(number)
        done.set()

    def read() -> None:
        opened = Segments(store, store.features("key"))
        while not done.is_set():
            known = [f"{number}" for number in written]
            assert opened.missing(known) == []
            assert Segments(store, store.features("key")).missing(known) == []

    def merging() -> None:
        while not done.is_set():
            merge(store)

    def guarded(work: object) -> None:
        try:
            work()  # type: ignore[operator]
        except BaseException as error:
            failures.append(error)
            done.set()

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (write, read, merging, merging)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    check(store, range(16))


def test_a_damaged_segment_of_a_merged_record_is_dropped_alone(store: Store, group: Location) -> None:
    for number in range(5):
        append(store, [number])
    merge(store)
    segment = entries(group / "segments")[2]
    halve(segment / "level" / "c.0.0")
    (finding,) = repair(store)
    assert finding.what == f"segment {segment}"
    assert not store.exists(segment)
    check(store, [0, 1, 3, 4])
    assert examine(store) == []


@pytest.mark.parametrize("damage", [halve, lambda path: flip(path, 40), lambda path: overwrite(path, b"")])
def test_a_damaged_merged_record_is_dropped_with_what_only_it_tells_of(
    store: Store, group: Location, damage: object
) -> None:
    for number in range(5):
        append(store, [number])
    merge(store)
    append(store, [5, 6])
    append(store, [7])
    for place in (0, 2):
        damage(entries(group / "records")[place])  # type: ignore[operator]
    with pytest.raises(DamagedStoreError, match="spade repair"):
        Segments(store, group).missing(["5"])
    repair(store)
    check(store, [5, 6])
    assert len(entries(group / "segments")) == 1
    assert examine(store) == []
