from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tiny import write_category

from flows.registered import BadRunsError
from flows.watch import watch
from storage.datasets.dataset import read_content
from storage.results.reader import Results
from storage.store.lock import exclusive
from storage.store.store import Store

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def registry(tmp_path: Path, resnet18_weights: Path) -> Path:
    """Two datasets of one configuration, and one whose folder is absent."""
    write_category(tmp_path / "one", "nut")
    write_category(tmp_path / "two", "pin", seed=4)
    path = tmp_path / "datasets.toml"
    path.write_text(
        f'[configurations.few]\nbackbone = "resnet18"\nweights = "{resnet18_weights}"\n'
        'metric_resolution = 64\nmethods = ["dn2"]\n'
        + "".join(
            f'[datasets.{name}]\nroot = "{name}"\nconfigurations = ["few"]\n'
            for name in ("one", "two", "gone")
        )
    )
    return path


def test_what_changed_is_reprocessed_and_nothing_else(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, read = tmp_path / "store", []

    def reading(dataset: Any, name: str) -> bytes:
        read.append(name)
        return read_content(dataset, name)

    monkeypatch.setattr("storage.datasets.scan.read_content", reading)
    for path in tmp_path.rglob("*.png"):
        old(path)
    assert [run.dataset for run in watch(str(registry), str(store))] == ["one", "two"]
    read.clear()
    assert watch(str(registry), str(store)) == []
    assert read == []
    new = tmp_path / "two/pin/train/good/new.png"
    new.write_bytes((tmp_path / "one/nut/test/good/000.png").read_bytes())
    old(new)
    (run,) = watch(str(registry), str(store))
    assert (run.dataset, run.status) == ("two", "complete")
    assert set(read) == {"pin/train/good/new.png"}
    assert Results(store).changes(run.run or "")["image_id"].tolist() == ["pin/train/good/new.png"]
    assert watch(str(registry), str(store)) == []


def old(path: Path) -> None:
    """Let a file be of yesterday: what is younger than two seconds has no stamp."""
    os.utime(path, (1e9, 1e9))


def test_what_fails_is_said_once(registry: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    for path in (tmp_path / "one/nut/train/good").iterdir():
        path.unlink()
    with pytest.raises(BadRunsError, match="one few: nut: no usable training image") as failure:
        watch(str(registry), store)
    assert [run.status for run in failure.value.runs] == ["partial", "complete"]
    assert watch(str(registry), store) == []


def test_it_leaves_while_a_night_is_under_way(registry: Path, tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    store.write(store.holder("nightly"), b"")
    with exclusive(store, "nightly", wait=False):
        assert watch(str(registry), str(store.root)) == []
    with exclusive(store, "watch", wait=False):
        assert watch(str(registry), str(store.root)) == []
    assert len(watch(str(registry), str(store.root))) == 2  # of the night that held it nothing is left
