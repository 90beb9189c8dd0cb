"""Nights on real machines: schedules, workers that are killed, a Dask cluster and a bucket."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster
from machines import Team, until
from tiny import spade, write_category

from flows.evaluate import evaluate
from flows.nightly import nightly
from storage.results.reader import Results
from storage.store.location import read_bytes
from storage.store.segments import Segments
from storage.store.store import Store
from tasks.core.config import Configuration

pytestmark = pytest.mark.integration

TRAIN, NORMAL, ANOMALOUS = 21, 12, 13
IMAGES = TRAIN + NORMAL + ANOMALOUS
TABLES = ("categories", "summary", "images", "neighbors", "manifest")


@dataclass(frozen=True)
class Night:
    """What a night works on: a registry, a store that is its own, and what it must come to."""

    registry: Path
    store: Path
    expected: dict[str, bytes]

    def parameters(self, **more: Any) -> dict[str, Any]:
        return {"registry": str(self.registry), "store": str(self.store), "batch_size": 1, **more}

    def recorded(self, kind: str) -> int:
        """Images whose features or scores the store has."""
        if not (self.store / "store.json").exists():
            return 0
        store = Store.open(self.store)
        folder = {"features": store.features(), "scores": store.scores()}[kind]
        return sum(len(Segments(store, group)) for group in store.entries(folder))

    def computed(self) -> dict[str, int]:
        """Images computed by each step of the last run."""
        return dict(Results(self.store).stages().groupby("step")["computed"].sum())

    def statuses(self) -> list[str]:
        return list(Results(self.store).runs()["status"])


def tables(store: str | Path) -> dict[str, bytes]:
    folder = Results(store).folder()
    return {name: read_bytes(folder / f"{name}.parquet") for name in TABLES}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "thing", train=TRAIN, normal=NORMAL, anomalous=ANOMALOUS)
    return root


@pytest.fixture(scope="module")
def uninterrupted(
    dataset: Path,
    settings: Callable[..., Configuration],
    prefect_server: None,  # noqa: ARG001 (for the flow)
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, bytes]:
    """The tables of a run on one machine that nobody disturbs."""
    store = tmp_path_factory.mktemp("alone") / "store"
    evaluate(str(dataset), str(store), settings(), batch_size=1, methods=[spade().label])
    return tables(store)


@pytest.fixture
def night(
    dataset: Path, settings: Callable[..., Configuration], uninterrupted: dict[str, bytes], tmp_path: Path
) -> Night:
    return Night(register(dataset, settings(), tmp_path), tmp_path / "store", uninterrupted)


def register(dataset: Path, small: Configuration, folder: Path) -> Path:
    """Write a registry of one dataset and one configuration."""
    registry = folder / "datasets.toml"
    lines = [f"{name} = {json.dumps(getattr(small, name))}" for name in ("backbone", "weights", "dtype")]
    lines += [f"{name} = {getattr(small, name)}" for name in ("metric_resolution", "sigma")]
    lines += [f"methods = {json.dumps([spade().label])}"]
    registry.write_text(
        "\n".join(
            [
                "[configurations.small]",
                *lines,
                "[datasets.tiny]",
                f"root = {json.dumps(str(dataset))}",
                'configurations = ["small"]',
            ]
        )
    )
    return registry


def test_a_killed_flow_and_a_killed_machine_cost_the_next_night_nothing(team: Team, night: Night) -> None:
    worker = team.worker()

    first = team.schedule_night(night.parameters())
    until(lambda: night.recorded("features") >= 5, "features", every=0.01)
    team.kill(first)
    assert team.ended(first) == "CRASHED"
    extracted = night.recorded("features")
    assert 5 <= extracted < IMAGES

    second = team.schedule_night(night.parameters())
    until(lambda: night.recorded("scores") >= 3, "scores", every=0.01)
    worker.kill()
    team.kill(second)
    worker.wait()
    scored = night.recorded("scores")
    assert night.recorded("features") == IMAGES
    assert 3 <= scored < NORMAL + ANOMALOUS
    assert team.state(second) == "RUNNING"  # nobody is left who could say more

    team.free_slot()
    worker = team.worker()
    third = team.schedule_night(night.parameters())
    assert team.ended(third) == "COMPLETED"
    assert team.state(second) == "CRASHED"
    assert night.statuses() == ["interrupted", "interrupted", "complete"]
    computed = night.computed()
    assert (computed["extract"], computed["score"]) == (0, NORMAL + ANOMALOUS - scored)
    assert tables(night.store) == night.expected

    worker.kill()
    worker.wait()


def test_a_night_outlives_its_worker(team: Team, night: Night) -> None:
    worker = team.worker()
    first = team.schedule_night(night.parameters())
    until(lambda: night.recorded("features") >= 3, "features", every=0.01)
    worker.kill()
    worker.wait()
    assert team.ended(first) == "COMPLETED"
    assert tables(night.store) == night.expected

    worker = team.worker()
    second = team.schedule_night(night.parameters())
    assert team.ended(second) == "COMPLETED"
    assert set(night.computed().values()) == {0}
    assert tables(night.store) == night.expected
    worker.kill()
    worker.wait()


def test_a_cluster_and_a_bucket_come_to_the_same_tables(
    settings: Callable[..., Configuration],
    bucket: str,
    prefect_server: None,  # noqa: ARG001 (for the flows)
    tmp_path: Path,
) -> None:
    for seed, name in enumerate(("first", "second", "third")):
        write_category(tmp_path / "tiny", name, seed=seed)
    registry = register(tmp_path / "tiny", settings(), tmp_path)
    nightly(str(registry), str(tmp_path / "store"))
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        nightly(
            str(registry),
            f"{bucket}/store",
            runner="dask",
            dask_address=cluster.scheduler_address,
            parallel=2,
        )
        machines = client.run(worked_for_spade)
    assert sum(machines.values()) == 2
    here, there = Results(tmp_path / "store"), Results(f"{bucket}/store")
    assert there.runs()["status"].tolist() == ["complete"]
    assert len(there.categories()) == 3
    for name in TABLES:
        ours, theirs = (read_bytes(results.folder() / f"{name}.parquet") for results in (here, there))
        assert ours == theirs, name
    for image_id in here.images()["image_id"]:
        one, other = (results.anomaly_map("latest", image_id) for results in (here, there))
        assert (one == other).all()


def worked_for_spade() -> bool:
    """Whether this process has run a step of the pipeline."""
    return "tasks.run.extract" in sys.modules
