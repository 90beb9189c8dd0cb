from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
from tampering import delete, entries, files_below, halve, replace

from storage.computed.features import Features
from storage.computed.indices import has_index, read_index, write_index
from storage.computed.scores import ImageScore, Scores
from storage.errors import DamagedStoreError, StoreError
from storage.repair import examine, repair
from storage.results.index import published_runs
from storage.results.reader import Results
from storage.results.runs import publish
from storage.results.schemas import STAGES
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from storage.store.tables import table_of
from tasks.run.tables import RUN

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(2)]
VALUES = np.random.default_rng(0).normal(size=(2, 4, 4)).astype(np.float32)


@pytest.fixture
def store(store: Store) -> Store:
    """A whole store: two segments of features and of scores, two indices, two runs."""
    index = faiss.IndexFlatL2(4)
    index.add(VALUES[0])
    for number, key in enumerate(KEYS):
        values = VALUES[number : number + 1]
        Features(store, "features").append([key], values[:, 0], {8: values[:, :, :, None]})
        Scores(store, "scores").append([ImageScore(key, 0.1, 0.2, [0], [0.1])], values)
        write_index(store, "features", f"gallery{number}", index)
        record = {
            "status": "complete",
            "finished": datetime(2026, 1, 1, tzinfo=UTC),
            "fingerprint": "x",
            "sweep": None,
        }
        publish(
            store,
            f"run{number}",
            table_of([record], pa.schema([RUN.field(name) for name in record])),
            {"stages": table_of([{"step": "ingest", "seconds": 1, "computed": 1, "total": 1}], STAGES)},
        )
    return store


def segments(group: Location) -> list[Location]:
    return entries(group / "segments")


def contents(store: Store) -> dict[str, bytes]:
    return {str(path): read_bytes(path) for path in files_below(store.root)}


def shard_of(segment: Location, array: str) -> Location:
    (shard,) = (path for path in files_below(segment / array) if path.name != "zarr.json")
    return shard


def test_a_whole_store_is_left_alone(store: Store) -> None:
    before = contents(store)
    assert repair(store) == []
    assert contents(store) == before


def test_an_empty_store_is_left_alone(tmp_path: Path) -> None:
    assert repair(Store.open(tmp_path / "empty", create=True)) == []


def test_examining_removes_nothing(store: Store) -> None:
    halve(store.index("features", "gallery0", "faiss"))
    before = contents(store)
    assert len(examine(store)) == 1
    assert contents(store) == before


def test_a_damaged_segment_of_features_is_dropped_and_missing_again(store: Store) -> None:
    first, second = segments(store.features("features"))
    halve(shard_of(first, "level_8"))
    (finding,) = repair(store)
    assert finding.what == f"segment {first}"
    assert finding.reason
    assert examine(store) == []
    assert segments(store.features("features")) == [second]
    features = Features(store, "features")
    assert features.missing(KEYS) == KEYS[:1]
    np.testing.assert_array_equal(features.pyramid(KEYS[1], [8])[0][:, :, 0], VALUES[1])


def test_a_damaged_segment_of_scores_is_dropped_and_missing_again(store: Store) -> None:
    first, _ = segments(store.scores("scores"))
    replace(shard_of(first, "map"), b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfc")
    (finding,) = repair(store)
    assert finding.what == f"segment {first}"
    assert examine(store) == []
    scores = Scores(store, "scores")
    assert scores.missing(KEYS) == KEYS[:1]
    np.testing.assert_array_equal(scores.anomaly_map(KEYS[1]), VALUES[1])


def test_a_segment_with_a_damaged_record_is_dropped(store: Store) -> None:
    group = store.features("features")
    first, second = segments(group)
    halve(group / "records" / f"{first.name}.parquet")
    (finding,) = repair(store)
    assert finding.what == f"segment {first}"
    assert segments(group) == [second]
    assert Features(store, "features").missing(KEYS) == KEYS[:1]


def test_a_segment_with_damaged_metadata_is_dropped(store: Store) -> None:
    first, _ = segments(store.features("features"))
    replace(first / "level_8" / "zarr.json", b'"endian"', b'"enddan"')
    (finding,) = repair(store)
    assert finding.what == f"segment {first}"
    assert Features(store, "features").missing(KEYS) == KEYS[:1]


def test_a_segment_that_lost_an_array_is_dropped(store: Store) -> None:
    first, _ = segments(store.features("features"))
    store.remove([first / "level_8"])
    (finding,) = repair(store)
    assert finding.what == f"segment {first}"
    assert Features(store, "features").missing(KEYS) == KEYS[:1]


def test_a_segment_that_was_never_finished_is_dropped(store: Store) -> None:
    group = store.scores("scores")
    first, second = segments(group)
    delete(group / "records" / f"{first.name}.parquet")
    (finding,) = repair(store)
    assert (finding.what, finding.reason) == (f"segment {first}", "it was never finished")
    assert segments(group) == [second]


@pytest.mark.parametrize("suffix", ["faiss", "json"])
def test_a_damaged_index_is_dropped_to_be_built_anew(store: Store, suffix: str) -> None:
    halve(store.index("features", "gallery0", suffix))
    (finding,) = repair(store)
    assert finding.what == f"index {store.index('features', 'gallery0', 'faiss')}"
    assert not has_index(store, "features", "gallery0")
    folder = store.index("features", "gallery0", "json").parent
    assert [path.name for path in entries(folder)] == ["gallery1.faiss", "gallery1.json"]
    assert read_index(store, "features", "gallery1").ntotal == 4
    assert examine(store) == []


@pytest.mark.parametrize("suffix", ["faiss", "json"])
def test_an_index_that_lost_a_file_is_built_anew_after_a_repair(store: Store, suffix: str) -> None:
    delete(store.index("features", "gallery0", suffix))
    with pytest.raises(DamagedStoreError, match="spade repair"):
        read_index(store, "features", "gallery0")
    repair(store)
    assert not has_index(store, "features", "gallery0")


@pytest.mark.parametrize("table", ["run", "stages"])
def test_a_damaged_run_is_dropped(store: Store, table: str) -> None:
    halve(store.run_table("run0", table))
    (finding,) = repair(store)
    assert finding.what == "run run0"
    assert f"{table}.parquet" in finding.reason
    assert published_runs(store) == ["run1"]
    assert not store.exists(store.run("run0"))
    assert Results(store.root).stages()["run"].tolist() == ["run1"]


def test_all_damage_is_repaired_at_once(store: Store) -> None:
    halve(shard_of(segments(store.features("features"))[0], "embedding"))
    delete(shard_of(segments(store.scores("scores"))[1], "map"))
    halve(store.index("features", "gallery1", "faiss"))
    halve(store.run_table("run1", "stages"))
    assert len(repair(store)) == 4
    assert examine(store) == []
    assert Features(store, "features").missing(KEYS) == KEYS[:1]
    assert Scores(store, "scores").missing(KEYS) == KEYS[1:]
    assert published_runs(store) == ["run0"]


WRITER = """
import hashlib, sys
import numpy as np
from storage.computed.features import Features
from storage.store.store import Store

features = Features(Store.open(sys.argv[1]), "killed")
for number in range(10_000):
    key = hashlib.sha256(str(number).encode()).hexdigest()
    values = np.full((1, 64, 64, 9), number, np.float32)
    features.append([key], values[:, 0, 0], {8: values})
    print(key, flush=True)
"""


def test_what_a_killed_writer_recorded_is_whole_and_the_rest_is_dropped(store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(store.root)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        written = [writer.stdout.readline().strip() for _ in range(5)]
        writer.kill()
        written += writer.stdout.read().split()
    group = store.features("killed")
    store.write(group / "segments" / "half" / "level_8" / "zarr.json", b"{}")
    findings = repair(store)
    assert {finding.reason for finding in findings} == {"it was never finished"}
    features = Features(store, "killed")
    assert features.missing(written) == []
    for number, key in enumerate(written):
        assert (features.pyramid(key, [8])[0] == number).all()
    assert len(segments(group)) == len(store.entries(group / "records"))


def test_a_bucket_that_refuses_is_not_repaired(bucket: str, refuse: Callable[[], None]) -> None:
    store = Store.open(f"{bucket}/store", create=True)
    Features(store, "features").append(KEYS[:1], VALUES[:1, 0], {8: VALUES[:1, :, :, None]})
    refuse()
    with pytest.raises(StoreError, match="cannot be used"):
        repair(store)
