from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tampering import overwrite

from storage.computed.scores import ImageScore, Scores
from storage.errors import DamagedStoreError, StoreError
from storage.results.index import published_runs
from storage.results.reader import Results
from storage.results.runs import earlier_runs, publish, published_fingerprint
from storage.results.schemas import CATEGORIES, IMAGES, INTERRUPTED, STAGES
from storage.store.location import read_bytes
from storage.store.store import Store
from storage.store.tables import read_table, table_bytes, table_of
from tasks.run.tables import RUN

SCORED, BROKEN = "007/test/good/000.png", "007/test/good/001.png"
KEY = hashlib.sha256(b"image").hexdigest()
MAP = np.random.default_rng(0).normal(size=(1, 6, 6)).astype(np.float32)
TABLES = {
    "categories": table_of(
        [{"dataset": "data", "category": "007", "method": "spade", "status": "ok", "pro": 0.9, "train": 2}],
        CATEGORIES,
    ),
    "images": table_of(
        [
            {
                "dataset": "data",
                "category": "007",
                "method": "spade",
                "image_id": name,
                "sha256": KEY if score_key else None,
                "split": "test",
                "anomalous": False,
                "defect": "good",
                "status": "ok" if score_key else "set aside",
                "score_map": 0.2 if score_key else None,
                "score_key": score_key,
            }
            for name, score_key in ((SCORED, "scores"), (BROKEN, None))
        ],
        IMAGES,
    ),
    "stages": table_of([{"step": "ingest", "seconds": 0.1, "computed": 2, "total": 3}], STAGES),
}
UNWRITABLE = table_of([{"step": None}], STAGES)


def record(day: int, status: str = "complete", *more: str) -> pa.Table:
    """A run's record with the columns that reading needs, and `more`."""
    row = {
        "status": status,
        "finished": datetime(2026, 1, day, tzinfo=UTC),
        "fingerprint": f"print{day}",
        "dataset": "data",
        "methods": ["spade"],
        "configuration_key": "key",
        "sweep": None,
    }
    names = (*row, *(name for name in more if name not in row))
    return table_of([row | dict.fromkeys(more, "x")], pa.schema([RUN.field(name) for name in names]))


def test_only_a_run_with_its_record_is_visible(store: Store) -> None:
    for name, table in TABLES.items():
        store.write(store.run_table("half", name), table_bytes(table))
    store.write(store.run("note.txt"), b"not a run")
    assert published_runs(store) == []
    publish(store, "whole", record(1), TABLES)
    assert published_runs(store) == ["whole"]
    assert Results(store.root).runs()["run"].tolist() == ["whole"]
    with pytest.raises(StoreError, match=r"no finished run 'half' in .* it has whole$"):
        Results(store.root).images("half")


def test_a_run_of_the_same_id_is_withdrawn_before_its_tables_change(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    with pytest.raises(pa.ArrowException):
        publish(store, "one", record(2), {**TABLES, "stages": UNWRITABLE})
    assert published_runs(store) == []
    publish(store, "one", record(3), TABLES)
    assert published_fingerprint(store, "one") == ("print3", "complete")


def test_the_latest_run_is_the_one_that_finished_last(store: Store) -> None:
    for run_id, day in (("a", 2), ("b", 3), ("c", 1)):
        publish(store, run_id, record(day), TABLES)
    results = Results(store.root)
    assert results.resolve("latest") == "b"
    assert results.categories()["run"].tolist() == ["b"]
    assert results.folder() == store.run("b")


def test_runs_are_listed_oldest_first(store: Store) -> None:
    for run_id, day in (("a", 2), ("b", 3), ("c", 1)):
        publish(store, run_id, record(day), TABLES)
    assert Results(store.root).runs()["run"].tolist() == ["c", "a", "b"]
    assert [row["run"] for row in Results(store.root).rows("runs")] == ["c", "a", "b"]


def test_runs_of_versions_with_other_columns_are_listed_together(store: Store) -> None:
    publish(store, "old", record(1), TABLES)
    publish(store, "new", record(2, "complete", "git_commit"), TABLES)
    runs = Results(store.root).runs().set_index("run")
    assert runs["git_commit"].isna().to_dict() == {"old": True, "new": False}
    assert str(runs["finished"]["old"]) == "2026-01-01 00:00:00+00:00"


def test_an_unknown_run_lists_those_there_are(store: Store) -> None:
    for run_id in ("one", "two"):
        publish(store, run_id, record(1), TABLES)
    with pytest.raises(StoreError, match=r"no finished run 'tow' in .*: it has one, two$"):
        Results(store.root).categories("tow")


def test_an_empty_store_tells_how_to_start(store: Store) -> None:
    results = Results(store.root)
    for read in (results.runs, results.categories, lambda: results.images("one")):
        with pytest.raises(StoreError, match=r"no finished run yet: start one with `spade evaluate`"):
            read()


def test_an_absent_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no store at .*absent"):
        Results(tmp_path / "absent")


def test_every_table_has_the_run_as_its_first_column(store: Store) -> None:
    publish(store, "one", record(1), {**TABLES, "manifest": TABLES["images"], "neighbors": TABLES["images"]})
    results = Results(store.root)
    for frame in (
        results.runs(),
        results.categories(),
        results.images(),
        results.stages(),
        results.manifest(),
        results.neighbors(),
    ):
        assert frame.columns[0] == "run"
        assert set(frame["run"]) == {"one"}
    assert next(iter(results.rows("images")[0])) == "run"


def test_a_category_of_digits_stays_a_string_in_pandas(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    assert Results(store.root).categories()["category"].tolist() == ["007"]
    assert Results(store.root).categories()["pro"].tolist() == [0.9]


def test_a_run_of_digits_stays_a_string_in_pandas(store: Store) -> None:
    publish(store, "007", record(1), TABLES)
    assert Results(store.root).categories("007")["run"].tolist() == ["007"]


def test_rows_are_the_same_as_the_frame_of_pandas(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    results = Results(store.root)
    (row,) = results.rows("categories")
    assert list(row) == list(results.categories().columns)
    assert (row["run"], row["category"], row["pro"], row["train"]) == ("one", "007", 0.9, 2)
    assert row["reason"] is None


def test_a_table_without_rows_keeps_its_columns(store: Store) -> None:
    publish(store, "one", record(1), {"stages": table_of([], STAGES)})
    assert Results(store.root).rows("stages") == []
    frame = Results(store.root).stages()
    assert list(frame.columns) == ["run", *STAGES.names]
    assert len(frame) == 0


def test_history_is_one_row_a_run_and_category_oldest_first(store: Store) -> None:
    def categories(pro: float | None, *names: str) -> dict[str, pa.Table]:
        row = {"dataset": "data", "method": "spade", "status": "ok", "pro": pro, "pro_low": 0.8}
        return {"categories": table_of([row | {"category": name} for name in names], CATEGORIES)}

    publish(store, "b", record(3, "complete", "configuration_key"), categories(0.9, "007", "nut"))
    publish(store, "a", record(2), categories(None, "007"))
    history = Results(store.root).history("pro")
    assert list(history.columns) == [
        "run", "finished", "dataset", "category", "method", "configuration_key", "value", "low", "high"
    ]  # fmt: skip
    assert history["run"].tolist() == ["a", "b", "b"]
    assert history["category"].tolist() == ["007", "007", "nut"]
    assert history["value"].isna().tolist() == [True, False, False]
    assert history["low"].tolist() == [0.8] * 3
    assert history["high"].isna().all()
    assert history["configuration_key"].tolist() == ["key", "x", "x"]
    assert set(history["method"]) == {"spade"}
    assert str(history["finished"].dtype) == "datetime64[us, UTC]"
    assert str(history["finished"][0]) == "2026-01-02 00:00:00+00:00"
    assert Results(store.root).history("pro", "data", "nut")["run"].tolist() == ["b"]
    empty = Results(store.root).history("pro", dataset="other")
    assert (len(empty), str(empty["finished"].dtype)) == (0, "datetime64[us, UTC]")


def test_history_names_a_metric_that_is_none(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    with pytest.raises(StoreError, match=r"no metric 'pixel_roc': did you mean pixel_rocauc"):
        Results(store.root).history("pixel_roc")


def test_a_table_that_is_gone_is_damage_and_that_of_an_interrupted_run_never_was(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    with pytest.raises(DamagedStoreError, match="spade repair"):
        Results(store.root).comparisons()
    publish(store, "dead", record(2, INTERRUPTED, "root"), {})
    results = Results(store.root)
    assert results.runs()["status"].tolist() == ["complete", INTERRUPTED]
    for read in (results.categories, results.images, results.comparisons):
        with pytest.raises(StoreError, match="run dead was interrupted, and has no tables: evaluate x again"):
            read("dead")
    assert results.resolve("latest") == "one"
    assert results.history("pro")["run"].tolist() == ["one"]


def test_a_method_of_a_run_is_chosen_by_its_name_or_is_the_first_that_will_do(store: Store) -> None:
    methods = ["dn2", "spade", "spade(k_image=3)"]
    of_spade = TABLES["images"].to_pylist()[0]
    images = [
        of_spade | {"method": name, "score_map": None if name == "dn2" else 0.2, "score_key": f"of {name}"}
        for name in methods
    ]
    row = record(1).to_pylist()[0] | {"methods": methods}
    publish(store, "one", table_of([row], record(1).schema), {"images": table_of(images, IMAGES)})
    for number, name in enumerate(methods[1:]):
        Scores(store, f"of {name}").append([ImageScore(KEY, 0.1, 0.2, [], [])], MAP + number)
    results = Results(store.root)
    assert (results.method(), results.map_method()) == ("dn2", "spade")
    assert (results.method("one", methods[2]), results.map_method("one", methods[2])) == (methods[2],) * 2
    np.testing.assert_array_equal(results.anomaly_map("one", SCORED), MAP[0])
    np.testing.assert_array_equal(results.anomaly_map("one", SCORED, methods[2]), MAP[0] + 1)
    assert [row["method"] for row in results.rows("images", "one", "dn2")] == ["dn2"]
    with pytest.raises(
        StoreError, match=r"no method 'padim' in run one: it has dn2, spade, spade\(k_image=3\)"
    ):
        results.method("latest", "padim")
    with pytest.raises(
        StoreError, match="no anomaly map by dn2 in run one: name a method that scores pixels"
    ):
        results.anomaly_map("one", SCORED, "dn2")


def test_earlier_runs_are_complete_and_of_the_same_dataset_and_configuration(store: Store) -> None:
    alike = ("dataset", "configuration_key")
    for run_id, day in (("a", 1), ("b", 3), ("c", 2), ("later", 9)):
        publish(store, run_id, record(day, "complete", *alike), TABLES)
    publish(store, "partial", record(3, "partial", *alike), TABLES)
    publish(store, "elsewhere", record(3, "complete", "configuration_key"), TABLES)
    publish(store, "otherwise", record(3, "complete", "dataset"), TABLES)
    publish(store, "damaged", record(3, "complete", *alike), TABLES)
    overwrite(store.run_table("damaged", "run"), b"")
    now = {
        "dataset": "x",
        "configuration_key": "x",
        "finished": datetime(2026, 1, 5, tzinfo=UTC),
        "methods": ["dn2", "spade"],
    }
    assert earlier_runs(store, "b", now) == ["c", "a"]
    assert earlier_runs(store, "now", now) == ["b", "c", "a"]
    assert earlier_runs(store, "now", now | {"dataset": "y"}) == []
    assert earlier_runs(store, "now", now | {"methods": ["dn2", "spade(k_image=3)"]}) == []


def test_maps_in_a_record_are_dicts(store: Store) -> None:
    versions = pa.array([[("python", "3.11"), ("numpy", "2")]], RUN.field("versions").type)
    publish(store, "one", record(1).append_column("versions", versions), TABLES)
    assert Results(store.root).rows("runs")[0]["versions"] == {"python": "3.11", "numpy": "2"}


def test_a_table_keeps_the_meaning_of_its_columns(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    schema = read_table(Results(store.root).folder() / "categories.parquet").schema
    assert schema.field("train").metadata == {b"meaning": b"training images used"}


def test_an_anomaly_map_is_read_by_run_and_image(store: Store) -> None:
    Scores(store, "scores").append([ImageScore(KEY, 0.1, 0.2, [0], [0.1])], MAP)
    publish(store, "one", record(1), TABLES)
    for run in ("one", "latest"):
        np.testing.assert_array_equal(Results(store.root).anomaly_map(run, SCORED), MAP[0])


@pytest.mark.parametrize("image_id", [BROKEN, "007/test/good/absent.png"])
def test_an_image_without_scores_has_no_anomaly_map(store: Store, image_id: str) -> None:
    publish(store, "one", record(1), TABLES)
    with pytest.raises(KeyError, match=f"run one has no scored test image '{image_id}'"):
        Results(store.root).anomaly_map("latest", image_id)


def test_an_anomaly_map_whose_scores_were_dropped_is_named_by_its_image(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    with pytest.raises((KeyError, StoreError), match=SCORED):
        Results(store.root).anomaly_map("one", SCORED)


def test_a_damaged_table_is_named_with_the_remedy(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    path = store.run_table("one", "images")
    overwrite(path, read_bytes(path)[:-20])
    with pytest.raises(DamagedStoreError, match=rf"{path} is damaged .*spade repair --store '{store.root}'"):
        Results(store.root).images()
    assert len(Results(store.root).categories()) == 1


def test_a_damaged_record_does_not_hide_the_other_runs(store: Store) -> None:
    for run_id, day in (("one", 1), ("two", 2), ("three", 3)):
        publish(store, run_id, record(day), TABLES)
    overwrite(store.run_table("one", "run"), b"")  # the index knows what it was
    assert Results(store.root).categories("latest")["run"].tolist() == ["three"]
    path = store.run_table("two", "run")
    overwrite(path, b"")
    assert Results(store.root).categories("three")["run"].tolist() == ["three"]
    with pytest.raises(DamagedStoreError, match=f"{path} is damaged .*spade repair"):
        Results(store.root).categories("latest")


def test_the_fingerprint_and_status_of_a_run_are_known_once_it_is_published(store: Store) -> None:
    assert published_fingerprint(store, "one") is None
    publish(store, "one", record(5, "partial"), TABLES)
    assert published_fingerprint(store, "one") == ("print5", "partial")


def test_the_fingerprint_of_a_damaged_record_is_named_with_the_remedy(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    path = store.run_table("one", "run")
    overwrite(path, read_bytes(path)[:-20])
    with pytest.raises(DamagedStoreError, match=f"{path} is damaged .*spade repair"):
        published_fingerprint(store, "one")


def heavy_after(script: str) -> list[str]:
    """The heavy packages that a fresh interpreter has imported after the script."""
    script += "\nimport sys; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ("torch", "prefect", "faiss", "zarr", "pandas")
    done = subprocess.run(
        [sys.executable, "-c", script, *heavy], capture_output=True, check=True, text=True, timeout=60
    )
    return [name for name in heavy if f"'{name}'" in done.stdout]


def test_the_reader_is_imported_without_anything_heavy() -> None:
    assert heavy_after("from storage.results.reader import Results") == []


def test_rows_are_read_without_pandas_and_frames_without_the_network(store: Store) -> None:
    publish(store, "one", record(1), TABLES)
    results = f"from storage.results.reader import Results; results = Results({str(store.root)!r})"
    assert heavy_after(f"{results}; results.rows('images')") == []
    assert heavy_after(f"{results}; results.images()") == ["pandas"]
