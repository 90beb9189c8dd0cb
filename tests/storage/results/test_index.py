from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from faults import FaultyDisk, kills, on
from tampering import delete, entries, halve, names_below, overwrite

from storage.repair import examine, repair
from storage.results import index
from storage.results.index import Index, fold_if_free, published_runs, rebuild, remove_runs
from storage.results.reader import Results
from storage.results.runs import accept, earlier_runs, publish, publish_interrupted
from storage.results.schemas import CATEGORIES, INTERRUPTED, STAGES
from storage.store.store import Store
from storage.store.tables import parse_table, table_bytes, table_of
from tasks.run.tables import RUN

START = datetime(2026, 1, 1, tzinfo=UTC)
STAGE = {"step": "score", "method": "spade", "score_key": "s", "seconds": 1.0, "computed": 2, "total": 2}


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def record(day: int, **changes: object) -> pa.Table:
    row = {
        "status": "complete",
        "finished": START + timedelta(days=day),
        "fingerprint": f"print{day}",
        "dataset": "data",
        "methods": ["spade"],
        "configuration_key": "key",
        "sweep": None,
        "worse": 0,
    }
    return table_of([row | changes], pa.schema([RUN.field(name) for name in row]))


def tables(day: int) -> dict[str, pa.Table]:
    """The PRO of a day's run is its number in thousandths: it tells which run a row is of."""
    rows = [
        {"dataset": "data", "category": name, "method": "spade", "status": "ok", "pro": day / 1000}
        for name in ("nut", "pin")
    ]
    return {"categories": table_of(rows, CATEGORIES), "stages": table_of([STAGE], STAGES)}


def night(store: Store, run: str, day: int, **changes: object) -> None:
    publish(store, run, record(day, **changes), tables(day))


def seen(store: Store) -> dict[str, str]:
    """Each run with its fingerprint, as the index says; the index and the tables agree on each."""
    rows = Index(store).runs(["fingerprint", "status"]).to_pylist()
    prints = {row["run"]: row["fingerprint"] for row in rows}
    whole = {row["run"] for row in rows if row["status"] != INTERRUPTED}
    history = Results(store.root).history("pro") if rows else None
    if history is not None:
        assert history["run"].tolist() == [run for run in prints for _ in range(2) if run in whole]
        assert [f"print{value * 1000:.0f}" for value in history["value"]] == [
            prints[run] for run in history["run"]
        ]
    return prints


def told(store: Store) -> dict[str, str]:
    """The same, as the folders say."""
    rows = {run: store.read_all([store.run_table(run, "run")])[0] for run in published_runs(store)}
    return {run: parse_table(content)["fingerprint"][0].as_py() for run, content in rows.items()}


def marks(store: Store) -> list[str]:
    return [name for name in names_below(store.index_of_runs()) if "~" in name]


def test_the_index_says_what_the_folders_say_through_any_history(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MARKS", 3)
    chance, expected = random.Random(0), dict[str, str]()
    for day in range(1, 40):
        run = f"run{chance.randrange(12)}"
        if run in expected and chance.random() < 0.5:
            remove_runs(store, [run])
            del expected[run]
        else:
            night(store, run, day)
            expected[run] = f"print{day}"
        assert seen(store) == expected == told(store)
        assert list(seen(store)) == sorted(expected, key=lambda name: int(expected[name][5:]))
        assert len(marks(store)) <= 3
    assert [path.name for path in entries(store.run())] == sorted(expected)
    assert examine(store) == []


def test_runs_that_were_folded_are_read_from_the_index_alone(store: Store) -> None:
    night(store, "one", 1, worse=2)
    night(store, "two", 2, worse=1)
    accept(store, "two")
    fold_if_free(store)
    assert marks(store) == []
    for run in ("one", "two"):
        delete(store.run(run))
    results = Results(store.root)
    assert results.resolve("latest") == "two"
    assert results.history("pro")["value"].tolist() == [0.001, 0.001, 0.002, 0.002]
    now = record(3).to_pylist()[0]
    assert earlier_runs(store, "now", now) == ["two"]
    assert [row["run"] for row in results.stages_of({"s"}, "two")] == ["two", "one"]


def test_what_got_worse_and_was_accepted_is_known_before_and_after_a_folding(store: Store) -> None:
    for run, day in (("one", 1), ("two", 2)):
        night(store, run, day, worse=1)
    now = record(3).to_pylist()[0]
    accept(store, "one")
    assert earlier_runs(store, "now", now) == ["one"]
    fold_if_free(store)
    assert earlier_runs(store, "now", now) == ["one"]
    accept(store, "two")
    assert earlier_runs(store, "now", now) == ["two", "one"]


def test_an_absent_index_is_as_one_in_which_every_run_is_marked(store: Store) -> None:
    for day in range(5):
        night(store, f"run{day}", day)
    expected = seen(store)
    delete(store.index_of_runs())
    assert seen(store) == expected
    night(store, "more", 7)
    assert list(seen(store)) == [*expected, "more"]
    assert marks(store) == []


@pytest.mark.parametrize("table", ["runs", "categories", "stages"])
@pytest.mark.parametrize("damage", [halve, lambda path: overwrite(path, b""), delete])
def test_a_damaged_index_hides_nothing_and_is_repaired(
    store: Store, table: str, damage: Callable[..., None]
) -> None:
    for day in range(3):
        night(store, f"run{day}", day)
    fold_if_free(store)
    expected = seen(store)
    (path,) = (path for path in entries(store.index_of_runs()) if path.name.startswith(table))
    damage(path)
    assert seen(store) == expected
    assert Results(store.root).stages_of({"s"}, "run1")[0]["run"] == "run1"
    if table != "runs" or damage is not delete:
        assert [finding.what for finding in repair(store)] == ["index of runs"]
    assert examine(store) == []
    assert seen(store) == expected


def test_runs_that_came_or_went_unseen_are_found_by_a_repair(store: Store) -> None:
    for day in range(3):
        night(store, f"run{day}", day)
    fold_if_free(store)
    delete(store.run("run1"))
    for name, table in {"run": record(5), **tables(5)}.items():
        store.write(store.run_table("copied", name), table_bytes(table))
    assert "copied" not in seen(store)
    assert len(repair(store)) == 1
    assert seen(store) == {"run0": "print0", "run2": "print2", "copied": "print5"} == told(store)


def test_a_repair_forgets_the_mark_of_a_run_that_never_was(store: Store) -> None:
    night(store, "one", 1)
    with pytest.raises(pa.ArrowException):
        publish(store, "never", record(2), {"stages": table_of([{"step": None}], STAGES)})
    fold_if_free(store)
    assert [name.partition("~")[0] for name in marks(store)] == ["never"]
    assert seen(store) == {"one": "print1"}
    rebuild(store)
    assert marks(store) == []


def test_an_interrupted_run_is_marked_too(store: Store) -> None:
    night(store, "one", 1)
    store.write(store.job("dead", "run"), table_bytes(record(2, status=INTERRUPTED)))
    assert publish_interrupted(store, "dead") == ["dead"]
    fold_if_free(store)
    assert seen(store) == {"one": "print1", "dead": "print2"}
    night(store, "dead", 3)
    assert seen(store) == {"one": "print1", "dead": "print3"}


BEFORE = {"run1": "print1", "run2": "print2", "run3": "print3"}
WORK: dict[str, tuple[Callable[[Store], object], dict[str, str]]] = {
    "a run": (lambda store: night(store, "run4", 4), BEFORE | {"run4": "print4"}),
    "a run again": (lambda store: night(store, "run2", 9), BEFORE | {"run2": "print9"}),
    "a run again that was not folded": (lambda store: night(store, "run3", 9), BEFORE | {"run3": "print9"}),
    "a removal": (lambda store: remove_runs(store, ["run1", "run3"]), {"run2": "print2"}),
    "an acceptance": (lambda store: accept(store, "run1"), BEFORE),
    "a folding": (fold_if_free, BEFORE),
    "a new index": (rebuild, BEFORE),
}


@pytest.mark.parametrize("kind", WORK)
def test_killed_at_any_change_nothing_is_lost_or_half_visible_and_it_is_finished_by_the_next(
    folder_store: Store, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, after = WORK[kind]
    night(folder_store, "run1", 1)
    night(folder_store, "run2", 2)
    fold_if_free(folder_store)
    night(folder_store, "run3", 3)
    monkeypatch.setattr(index, "_MARKS", 1)  # what is published folds
    states: list[dict[str, str]] = []
    for store in kills(folder_store, work, tmp_path / "kills"):
        found = seen(store)
        for run in BEFORE.keys() | after.keys():
            assert found.get(run) in (BEFORE.get(run), after.get(run), None)
            if after.get(run) == BEFORE.get(run):
                assert found.get(run) == after[run]
            elif run not in after and states and run not in states[-1]:
                assert run not in found  # it does not come back
        if kind != "a removal":
            assert found == told(store)
        states.append(found)
        night(store, "other", 5)  # the next that writes finds all in order
        assert seen(store) == found | {"other": "print5"}
        work(store)
        assert seen(store) == after | {"other": "print5"} == told(store)
        assert {path.name for path in store.entries(store.run())} == after.keys() | {"other"}
    assert examine(store) == []
    assert states[0] == BEFORE
    assert states[-1] == after


@pytest.mark.parametrize("again", [False, True])
def test_a_folding_at_any_moment_of_a_publication_loses_nothing(
    folder_store: Store, again: bool, tmp_path: Path
) -> None:
    night(folder_store, "one", 1)
    for moment in range(12):
        store = Store.open(tmp_path / f"store{moment}", create=True)
        night(store, "one", 1)

        def fold(change: int, at: int = moment, store: Store = store) -> None:
            if change == at:
                fold_if_free(store)

        night(on(FaultyDisk(fold), store), "one" if again else "two", 2)
        assert seen(store) == ({"one": "print2"} if again else {"one": "print1", "two": "print2"})
        fold_if_free(store)
        assert seen(store) == told(store)


def test_many_publish_at_once_and_readers_see_every_run_that_is_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MARKS", 2)
    runs, there, failures = range(6), list[str](), list[BaseException]()
    done = threading.Event()

    def write(writer: int) -> None:
        for day in runs:
            night(store, f"{writer}-{day}", day)
            there.append(f"{writer}-{day}")

    def read() -> None:
        while not done.is_set():
            known = {*there}
            assert known <= {*Index(store).runs([])["run"].to_pylist()}
            if known:
                history = Results(store.root).history("pro").groupby("run")["value"].agg(list)
                assert known <= {*history.index}
                assert all(found == [int(run[2:]) / 1000] * 2 for run, found in history.items())

    def guarded(work: Callable[..., None], *arguments: int) -> Callable[[], None]:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                failures.append(error)

        return run

    writers = [threading.Thread(target=guarded(write, writer)) for writer in range(3)]
    reader = threading.Thread(target=guarded(read))
    for thread in (*writers, reader):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert failures == []
    assert len(seen(store)) == 3 * len(runs)
    assert seen(store) == told(store)


def requests(store: Store, days: Sequence[int]) -> int:
    disk = FaultyDisk()
    counted = on(disk, store)
    for day in days:
        earlier_runs(counted, f"run{day}", record(day).to_pylist()[0])
        night(counted, f"run{day}", day)
    return disk.reads + disk.changes


def test_publishing_takes_as_many_requests_whatever_the_number_of_runs(folder_store: Store) -> None:
    requests(folder_store, [0])
    first = requests(folder_store, range(1, 34))
    requests(folder_store, range(34, 100))
    assert requests(folder_store, range(100, 133)) == first


WRITER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from storage.results import index
from storage.store.store import Store
from test_index import night
from storage.results.index import remove_runs

index._MARKS = 2
store = Store.open(sys.argv[1])
for day in range(1, 10_000):
    night(store, f"run{day % 7}", day)
    if day % 5 == 0:
        remove_runs(store, [f"run{day % 7}"])
    print(day, flush=True)
"""


def test_after_kill_9_the_index_says_what_the_folders_say(folder_store: Store) -> None:
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2]), str(Path(__file__).parents[3])]
    for lines in (1, 3, 8):
        arguments = [sys.executable, "-c", WRITER, str(folder_store.root), *paths]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                assert writer.stdout.readline()
            writer.kill()
        night(folder_store, "end", 10_000 + lines)
        removed = {name.partition("~")[0] for name in marks(folder_store) if name.endswith(".removed")}
        assert seen(folder_store).items() == told(folder_store).items() - {
            (run, value) for run, value in told(folder_store).items() if run in removed
        }
        assert examine(folder_store) == []
