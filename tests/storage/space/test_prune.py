from __future__ import annotations

import hashlib
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from faults import FaultyDisk, kills, on
from hypothesis import given, settings
from hypothesis import strategies as st
from tampering import delete, halve, names_below

from storage.computed.features import Features
from storage.computed.held_out import read_held_out, write_held_out
from storage.computed.indices import gallery_digest
from storage.computed.looks import Looks
from storage.computed.needs import CALIBRATION, TRAIN, state_key
from storage.computed.scores import ImageScore, Scores
from storage.datasets.manifest import ImageFile, Manifest
from storage.datasets.retention import Retention
from storage.errors import StoreError
from storage.results.index import published_runs
from storage.results.reader import Results
from storage.results.runs import accept, pin, publish, unpin
from storage.results.schemas import CATEGORIES, STAGES
from storage.space.plan import plan
from storage.space.prune import prune
from storage.store.location import exists, read_bytes
from storage.store.sealed import read_sealed, write_sealed
from storage.store.store import Store, digest
from storage.store.tables import table_of
from storage.store.under_way import under_way
from tasks.run.tables import RUN

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICY = Retention(nights=1, weeks=0, months=0, days=1)
LATER = time.time() + 100 * 86_400
Contents = dict[str, Any]


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


def key_of(image: int) -> str:
    return hashlib.sha256(bytes([image])).hexdigest()


@dataclass(frozen=True)
class Evaluation:
    """A run on some images, of which the first half trains; what is computed already is not done again."""

    run: str
    day: int
    images: tuple[int, ...]
    feature_key: str = "f"
    method: str = "spade"
    worse: int = 0
    dataset: str = "data"

    @property
    def keys(self) -> list[str]:
        return [key_of(image) for image in self.images]

    @property
    def train(self) -> list[str]:
        return sorted(self.keys[: len(self.keys) // 2])

    @property
    def description(self) -> dict[str, Any]:
        training = gallery_digest(self.train)
        return {"settings": {"method": self.method}, "features": self.feature_key, "training": training}

    @property
    def scored(self) -> list[str]:
        return self.keys[len(self.keys) // 2 :]

    def do(self, store: Store) -> None:
        """As a flow does it."""
        with under_way(store, [self.run], self.dataset):
            store.write(store.job(self.run, "run"), b"")
            self.compute(store)
            self.publish(store)
            store.remove([store.job(self.run)])
        store.write(store.report(self.run) / "index.html", b"page")

    def compute(self, store: Store) -> None:
        features, looks = Features(store, self.feature_key), Looks(store)
        features.describe({"backbone": f"net {self.feature_key}"})
        if missing := features.missing(self.keys):
            values = np.array([[float(int(key[:4], 16))] for key in missing], np.float32)
            features.append(missing, values, {8: values[:, :, None, None]})
        if missing := looks.missing(self.keys):
            looks.append(dict.fromkeys(missing, (0.5, 0.5)))
        self.score(store, self.description)
        index = store.index(self.feature_key, self.description["training"])
        for path in (index, store.state(state_key(self.description))):
            if not exists(path):
                write_sealed(store, path, f"{path.name}".encode(), {})
        write_held_out(store, digest(self.description), {"embedding": {self.train[0]: 0.5}})

    def score(self, store: Store, description: dict[str, Any]) -> str:
        key = digest(description)
        scores = Scores(store, key)
        if not scores.is_described():
            store.write(store.alike("alike") / f"{self.run}~{key}", b"")
        scores.describe(description | {TRAIN: self.train})
        if missing := scores.missing(self.scored):
            maps = np.array([[[float(int(each[:4], 16))]] for each in missing], np.float32)
            scores.append([ImageScore(each, 0.1, 0.2, [0], [0.1]) for each in missing], maps)
        if scores.metrics(digest(self.scored)) is None:
            scores.write_metrics(digest(self.scored), {"pro": 0.5}, {"counts": np.arange(3)})
        return key

    def publish(self, store: Store) -> None:
        record = {
            "status": "complete",
            "finished": START + timedelta(days=self.day),
            "dataset": self.dataset,
            "configuration_key": "key",
            "methods": [self.method],
            "fingerprint": self.run,
            "worse": self.worse,
            "sweep": None,
            "backbone": f"net {self.feature_key}",
            "feature_key": self.feature_key,
        }
        files = tuple(
            ImageFile(self.dataset, "nut", "train" if key in self.train else "test", f"{key}.png", key)
            for key in self.keys
        )
        row = {
            "dataset": self.dataset,
            "category": "nut",
            "method": self.method,
            "status": "ok",
            "score_key": digest(self.description),
            "metrics_key": digest(self.scored),
        }
        tables = {
            "manifest": Manifest(self.dataset, files).table(),
            "categories": table_of([row], CATEGORIES),
            "stages": table_of([], STAGES),
        }
        publish(store, self.run, table_of([record], pa.schema([RUN.field(name) for name in record])), tables)

    def read(self, store: Store) -> Contents:
        """All that the run needs; an error if anything of it is missing or damaged."""
        features, looks = Features(store, self.feature_key), Looks(store)
        scores, index = Scores(store, digest(self.description)), self.description["training"]
        return {
            "features": [features.pyramid(key, [8])[0].tolist() for key in self.keys],
            "embeddings": features.embeddings(self.keys).tolist(),
            "looks": [looks.read(key) for key in self.keys],
            "scores": [(scores.read(key), scores.anomaly_map(key).tolist()) for key in self.scored],
            "metrics": scores.metrics(digest(self.scored)),
            "profile": [*(scores.profile(digest(self.scored)) or {})],
            "index": read_sealed(store, store.index(self.feature_key, index)),
            "state": read_sealed(store, store.state(state_key(self.description))),
            "held out": read_held_out(store, digest(self.description)),
            "tables": [
                Results(store.root).rows(name, self.run) for name in ("run", "categories", "manifest")
            ],
            "report": read_bytes(store.report(self.run) / "index.html"),
        }


OLD = Evaluation("old", 1, (1, 2, 3, 4))
OTHER = Evaluation("other", 2, (1, 2, 3, 4), "g")
NEW = Evaluation("new", 3, (3, 4, 5, 6))
LATEST = Evaluation("latest", 4, (5, 6, 7, 8))
BAD = Evaluation("bad", 5, (7, 8, 1, 2), worse=1)


def done(store: Store, *evaluations: Evaluation) -> dict[str, Contents]:
    for each in evaluations:
        each.do(store)
    return {each.run: each.read(store) for each in evaluations}


def files(store: Store) -> set[str]:
    """What is there, but for what every process leaves."""
    found = {*names_below(store.root)}
    return {name for name in found if not name.startswith(("index/", "locks/")) and "/records/" not in name}


def test_runs_go_with_all_that_they_alone_need(store: Store) -> None:
    found = done(store, OLD, OTHER, NEW, LATEST, BAD)
    before = files(store)
    shown = plan(store, POLICY, LATER)
    assert files(store) == before
    removed = prune(store, POLICY, LATER)
    assert [(item.kind, item.name, item.why) for item in shown.going] == [
        (item.kind, item.name, item.why) for item in removed.going
    ]
    assert published_runs(store) == ["bad", "latest"]
    assert removed.kept == {"bad": "the latest", "latest": "the last good one"}
    for each in (LATEST, BAD):
        assert each.read(store) == found[each.run]
    kinds = dict(Counter(item.kind for item in removed.going))
    # the segment of 1 and 2 of "old" is needed again by "bad", that of 3 and 4 lies in the same one
    assert kinds == {"run": 3, "report": 3, "alike": 1, "features": 1, "scores": 3, "index": 3, "state": 3}
    assert not exists(store.features("g"))
    assert prune(store, POLICY, LATER).going == []


def test_every_file_is_of_one_item_and_has_its_size(folder_store: Store) -> None:
    store = folder_store
    done(store, OLD, NEW)
    store.write(store.root / "runs" / "old" / ".left.1234", b"12345")
    found = plan(store, POLICY, LATER)
    sizes = store.sizes()
    assert sum(item.size.files for item in found.items) == len(sizes)
    assert sum(item.size.bytes for item in found.items) == sum(size.bytes for size in sizes.values())
    (left,) = (item for item in found.going if item.kind == "unfinished")
    assert (left.name, left.size.bytes, left.why) == (".left.1234", 5, "never written to its end")
    computed = [item for item in found.items if item.kind in ("features", "scores", "index", "state")]
    assert {(item.dataset, item.backbone) for item in computed} == {("data", "net f")}


def test_segments_go_once_none_of_their_images_is_needed(folder_store: Store) -> None:
    store = folder_store
    done(store, OLD, NEW)  # segments of 1 to 4, and of 5 and 6
    found = done(store, LATEST)["latest"]  # and of 7 and 8: it needs 5 to 8
    (item,) = (item for item in prune(store, POLICY, LATER).going if item.kind == "features")
    assert item.name == "1 segments of f"
    assert Features(store, "f").missing([key_of(image) for image in range(1, 9)]) == [
        key_of(image) for image in range(1, 5)
    ]
    assert LATEST.read(store) == found


def test_what_is_young_stays_although_no_run_needs_it(folder_store: Store) -> None:
    store = folder_store
    done(store, OLD, OTHER, NEW)
    kinds = {item.kind for item in prune(store, POLICY).going}
    assert kinds == {"run", "report"}
    assert Features(store, "g").missing(OTHER.keys) == []
    assert "features" in {item.kind for item in prune(store, POLICY, LATER).going}


def test_accepted_and_pinned_runs_stay_until_they_are_unpinned(folder_store: Store) -> None:
    store = folder_store
    found = done(store, OLD, OTHER, NEW, LATEST)
    accept(store, "old")
    pin(store, "other", "of the paper")
    assert prune(store, POLICY, LATER).kept == {
        "old": "accepted",
        "other": "pinned: of the paper",
        "latest": "the latest",
    }
    for each in (OLD, OTHER, LATEST):
        assert each.read(store) == found[each.run]
    unpin(store, "other")
    prune(store, POLICY, LATER)
    assert published_runs(store) == ["latest", "old"]
    with pytest.raises(StoreError, match="no run 'new'"):
        pin(store, "new", "why")
    with pytest.raises(StoreError, match="no run 'new'"):
        accept(store, "new")
    with pytest.raises(StoreError, match=r"latest in .* is not pinned"):
        unpin(store, "latest")


def test_an_ensemble_keeps_the_scores_that_it_is_made_of(folder_store: Store) -> None:
    store = folder_store
    done(store, OLD)
    member = Evaluation("member", 0, OLD.images, method="member")
    of_member = member.score(store, member.description)
    of_calibration = member.score(store, member.description | {"training": "half"})
    write_sealed(store, store.state(state_key(member.description)), b"state", {})

    class Ensemble(Evaluation):
        @property
        def description(self) -> dict[str, Any]:
            return {"method": "ensemble", "scores": [of_member]}

    ensemble = Ensemble("ensemble", 1, OLD.images, method="ensemble")
    Scores(store, digest(ensemble.description)).describe(
        ensemble.description | {CALIBRATION: [of_calibration]}
    )
    ensemble.publish(store)
    prune(store, POLICY, LATER)
    for key in (of_member, of_calibration):
        assert Scores(store, key).missing(OLD.scored) == []
    assert exists(store.state(state_key(member.description)))


def test_what_is_damaged_is_repaired_first(folder_store: Store) -> None:
    store = folder_store
    done(store, OLD, NEW, LATEST)
    for path in (
        store.run_table("latest", "manifest"),
        store.scores(digest(LATEST.description)) / "group.json",
    ):
        content = read_bytes(path)
        halve(path)
        before = files(store)
        with pytest.raises(StoreError, match="spade repair"):
            prune(store, POLICY, LATER)
        assert files(store) == before
        store.write(path, content)
    for name in names_below(store.run("latest")):
        store.write(store.run("copied") / name, read_bytes(store.run("latest") / name))
    with pytest.raises(StoreError, match="does not tell of copied: run `spade repair"):
        prune(store, POLICY, LATER)


def test_what_the_dead_left_goes_and_what_the_living_have_stays(store: Store) -> None:
    found = done(store, OLD, OTHER, NEW, LATEST)
    about = store.under_way("killed~token.json")
    store.write(about, b'{"runs": ["killed"], "dataset": "data"}')
    store.write(about.with_suffix(".lock"), b"")
    for run in ("killed", "living"):
        store.write(store.job(run, "manifest"), b"")
    delete(store.under_way())
    with under_way(store, ["living"], "data"):
        assert plan(store, POLICY, LATER).under_way == ["living"]
        assert {item.kind for item in prune(store, POLICY, LATER).going} == {"job"}
    assert [path.name for path in store.entries(store.job())] == ["living"]
    for each in (OLD, OTHER, NEW, LATEST):
        assert each.read(store) == found[each.run]
    with under_way(store, ["living"], "another"):
        assert {item.kind for item in prune(store, POLICY, LATER).going} == {"run", "report"}
    assert Features(store, "g").missing(OTHER.keys) == []
    assert store.entries(store.under_way()) == []


def test_killed_at_any_change_nothing_that_is_kept_is_lost_and_the_next_ends_it(
    folder_store: Store, tmp_path: Path
) -> None:
    found = done(folder_store, OLD, LATEST, BAD)
    ends = []
    for store in kills(folder_store, lambda store: prune(store, POLICY, LATER), tmp_path / "kills"):
        runs = Results(store.root).runs()["run"].tolist()
        assert runs[-2:] == ["latest", "bad"]
        assert runs[:-2] in ([], ["old"])
        for each in (LATEST, BAD):
            assert each.read(store) == found[each.run]
        prune(store, POLICY, LATER)
        for each in (LATEST, BAD):
            assert each.read(store) == found[each.run]
        ends.append(files(store))
    assert len(ends) > 20
    assert all(end == ends[-1] for end in ends)


def test_at_any_moment_of_an_evaluation_what_it_counts_on_stays(folder_store: Store, tmp_path: Path) -> None:
    done(folder_store, OLD, LATEST)
    prune(folder_store, POLICY)  # what "old" needed is there, and nobody needs it
    again = Evaluation("again", 9, (1, 2, 3, 4, 9, 10))
    moment, finished = 0, False
    while not finished:
        store = Store.open(shutil.copytree(folder_store.root, tmp_path / str(moment)))
        changes: list[int] = []

        def at(change: int, when: int = moment, store: Store = store, changes: list[int] = changes) -> None:
            changes.append(change)
            if change == when:
                prune(store, POLICY, LATER)

        again.do(on(FaultyDisk(at), store))
        assert again.read(store)["metrics"] == {"pro": 0.5}
        finished = len(changes) <= moment
        moment += 2
    assert moment > 10


def test_a_run_that_begins_during_a_prune_waits_for_its_end(folder_store: Store) -> None:
    done(folder_store, OLD, OTHER, NEW, LATEST)
    began = threading.Event()

    def begin() -> None:
        with under_way(folder_store, ["again"], "data"):
            began.set()

    thread = threading.Thread(target=begin)

    def at(change: int) -> None:
        if change == 3:
            thread.start()
        assert not began.is_set()

    prune(on(FaultyDisk(at), folder_store), POLICY, LATER)
    thread.join()
    assert began.is_set()


evaluations = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sets(st.integers(1, 8), min_size=2, max_size=5).map(sorted),
        st.sampled_from(["f", "g"]),
        st.sampled_from(["spade", "dn2"]),
        st.integers(0, 1),
        st.sampled_from(["nothing", "nothing", "accept", "pin", "prune"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=6)
@given(evaluations, st.integers(1, 2), st.integers(0, 1))
def test_after_any_history_what_stays_is_whole_and_all_of_it_is_needed(
    history: Sequence[tuple[int, list[int], str, str, int, str]], nights: int, weeks: int
) -> None:
    policy = Retention(nights=nights, weeks=weeks, months=0, days=1)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"{folder}/store", create=True)
        done_so_far: dict[str, tuple[Evaluation, Contents]] = {}
        then: dict[str, Callable[[str], object]] = {
            "nothing": bool,
            "accept": lambda run: accept(store, run),
            "pin": lambda run: pin(store, run, "why"),
            "prune": lambda _: prune(store, policy, LATER),
        }
        for number, (day, images, feature_key, method, worse, what) in enumerate(history):
            each = Evaluation(f"run{number}", day, tuple(images), feature_key, method, worse)
            each.do(store)
            done_so_far[each.run] = each, each.read(store)
            then[what](each.run)
        expected = plan(store, policy, LATER).kept
        prune(store, policy, LATER)
        assert published_runs(store) == sorted(expected)
        left = [done_so_far[run][0] for run in expected]
        for each in left:
            assert each.read(store) == done_so_far[each.run][1]
        assert {path.name for path in store.entries(store.scores())} == {
            digest(each.description) for each in left
        }
        assert {path.stem for path in store.states()} == {state_key(each.description) for each in left}
        for group in store.entries(store.features()):
            needed = {key for each in left if each.feature_key == group.name for key in each.keys}
            assert needed
            for keys in Features(store, group.name)._segments.keys().values():
                assert needed & {*keys}
        assert prune(store, policy, LATER).going == []
