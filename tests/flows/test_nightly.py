from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from prefect.client.orchestration import get_client
from prefect.states import Running
from receiver import Receiver
from tiny import write_category

from flows.nightly import BadNightError, nightly
from flows.registered import RegisteredRun
from flows.reprocess import reprocess
from storage.results.reader import Results
from storage.results.runs import accept
from storage.store.lock import exclusive
from storage.store.store import Store

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def registry(tmp_path: Path, resnet18_weights: Path) -> Path:
    """Two datasets, one with two configurations; another whose folder is absent."""
    write_category(tmp_path / "tiny", "thing")
    write_category(tmp_path / "tiny", "nut", seed=3)
    write_category(tmp_path / "other", "pin", seed=4)
    weights = tmp_path / "weights.pth"
    weights.write_bytes(resnet18_weights.read_bytes())
    base = f'backbone = "resnet18"\nweights = "{weights}"\nmetric_resolution = 64\nsigma = 1.0\n'
    path = tmp_path / "datasets.toml"
    path.write_text(
        f"[configurations.few]\n{base}k_image = 2\nk_gallery = 2\n"
        f"[configurations.one]\n{base}k_image = 1\nk_gallery = 1\n"
        '[datasets.tiny]\nroot = "tiny"\nconfigurations = ["few", "one"]\n'
        '[datasets.other]\nroot = "other"\nconfigurations = ["few"]\n'
    )
    return path


def good(entries: list[RegisteredRun]) -> list[tuple[str, str, str]]:
    return [(entry.dataset, entry.configuration, entry.status) for entry in entries]


def computed(store: Path, run: str | None) -> dict[str, int]:
    assert run is not None
    return dict(Results(store).stages(run).groupby("step")["computed"].sum())


def test_a_night_evaluates_everything_and_the_next_one_nothing_anew(registry: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = nightly(str(registry), str(store), parallel=2)
    assert good(first) == [
        ("other", "few", "complete"),
        ("tiny", "few", "complete"),
        ("tiny", "one", "complete"),
    ]
    assert computed(store, first[2].run)["extract"] == 0  # its features are those of "few"
    second = nightly(str(registry), str(store))
    assert all(sum(computed(store, entry.run).values()) == 0 for entry in second)
    assert [entry.verdicts for entry in second] == ["4 same", "8 same", "8 same"]
    history = Results(store).history("pixel_rocauc", dataset="other")
    assert history["run"].tolist() == [first[0].run, second[0].run]
    assert history["value"].nunique() == 1


def test_a_night_ends_with_a_prune_where_the_registry_says_what_is_kept(
    registry: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    old = store / "reports" / "gone"
    (first,) = nightly(str(registry), str(store), datasets=["other"])
    old.mkdir(parents=True)
    (old / "index.html").write_text("of a run that is no more")
    os.utime(old / "index.html", (0, 0))
    nightly(str(registry), str(store), datasets=["other"])
    assert old.exists()
    registry.write_text(f"{registry.read_text()}[retention]\nnights = 1\n")
    (last,) = nightly(str(registry), str(store), datasets=["other"])
    assert not old.exists()
    assert {first.run, last.run} < {*Results(store).runs()["run"]}
    assert computed(store, last.run)["score"] == 0


def test_what_fails_is_told_and_stops_nothing_else(
    registry: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_TEST_WEBHOOK", receiver.url)
    registry.write_text(
        registry.read_text() + '[notify]\nurl = "${SPADE_TEST_WEBHOOK}"\n'
        '[datasets.gone]\nroot = "nowhere"\nconfigurations = ["few"]\n'
        '[datasets.odd]\nroot = "${SPADE_NOT_SET}"\nconfigurations = ["few"]\n'
    )
    for path in (tmp_path / "tiny/nut/train/good").iterdir():
        path.unlink()
    with pytest.raises(BadNightError, match=r"gone few: no dataset at .*nowhere") as failure:
        nightly(str(registry), str(tmp_path / "store"))
    entries = list(failure.value.runs)
    assert good(entries) == [
        ("gone", "few", "failed"),
        ("odd", "", "failed"),
        ("other", "few", "complete"),
        ("tiny", "few", "partial"),
        ("tiny", "one", "partial"),
    ]
    assert "SPADE_NOT_SET" in (entries[1].reason or "")
    assert "nut: no usable training image" in (entries[3].reason or "")
    (message,) = receiver.received
    assert message["events"] == ["failed"]
    assert [run["run"] for run in message["runs"]] == [entry.run for entry in entries]
    assert "- tiny few: nut: no usable training image" in message["text"]
    assert not [
        path for path in (tmp_path / "store").rglob("*.*") if receiver.url.encode() in path.read_bytes()
    ]
    categories = Results(tmp_path / "store").categories(entries[3].run or "")
    assert dict(zip(categories["category"], categories["status"], strict=True)) == {
        "nut": "failed",
        "thing": "ok",
    }


def test_weights_that_went_bad_fail_the_night(registry: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    for name in ("thing", "nut"):
        write_category(tmp_path / "tiny", name, normal=12, anomalous=12)
    nightly(str(registry), store, datasets=["tiny"])
    weights = torch.load(tmp_path / "weights.pth", weights_only=True)
    weights["conv1.weight"].zero_()
    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(BadNightError, match="metrics got worse"):
        nightly(str(registry), store, datasets=["tiny"])
    comparisons = Results(store).comparisons()
    assert "worse" in set(comparisons["verdict"])
    assert (comparisons.loc[comparisons["verdict"] == "worse", "high"] < 0).all()
    with pytest.raises(BadNightError, match="metrics got worse") as again:  # still worse than the last good
        nightly(str(registry), store, datasets=["tiny"])
    for entry in again.value.runs:
        accept(Store.open(store), entry.run or "")
    assert all(entry.is_good for entry in nightly(str(registry), store, datasets=["tiny"]))


def test_a_second_nightly_leaves_or_waits(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(tmp_path / "store", create=True)
    settings: dict[str, Any] = {"registry": str(registry), "store": str(store.root), "datasets": ["other"]}
    held, waiting, released = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(store, "nightly", wait=False):
            held.set()
            waiting.wait()
            released.set()

    def taken(*arguments: Any, **more: Any) -> Any:
        waiting.set()
        return exclusive(*arguments, **more)

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    held.wait()
    assert nightly(**settings) == []
    assert not released.is_set()
    monkeypatch.setattr("flows.nightly.exclusive", taken)
    assert good(nightly(**settings, when_busy="wait")) == [("other", "few", "complete")]
    assert released.is_set()
    holder.join()


def test_runs_that_died_are_marked_and_their_work_is_used(
    registry: Path, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    registry.write_text(f'{registry.read_text()}[notify]\nurl = "{receiver.url}"\n')

    def die(*_: object, **__: object) -> None:
        raise SystemExit("the process dies")

    with monkeypatch.context() as patch:
        patch.setattr("flows.evaluate.publish", die)
        with pytest.raises(SystemExit):
            nightly(str(registry), str(store), datasets=["other"])
    with get_client(sync_client=True) as client:
        flow = next(run for run in client.read_flow_runs() if run.parameters.get("store") == str(store))
        client.set_flow_run_state(flow.id, Running(), force=True)  # as a killed process leaves it
    (entry,) = nightly(str(registry), str(store), datasets=["other"])
    assert computed(store, entry.run) == {
        "ingest": 0,
        "extract": 0,
        "index": 0,
        "drift": 0,
        "score": 0,
        "summarize": 0,
    }
    results = Results(store)
    assert results.runs()["status"].tolist() == ["interrupted", "complete"]
    (message,) = receiver.received
    assert (message["events"], message["interrupted"]) == (["crashed"], [results.runs()["run"][0]])
    assert f"- {results.runs()['run'][0]} was interrupted" in message["text"]
    assert results.resolve("latest") == entry.run
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow.id).state
    assert state is not None
    assert state.name == "Crashed"


def test_reprocessing_says_what_changed_and_does_no_more(registry: Path, tmp_path: Path) -> None:
    store, train = tmp_path / "store", tmp_path / "other/pin/train/good"
    reprocess("other", str(registry), str(store))
    write_category(tmp_path / "new", "pin", train=1, seed=9)
    (tmp_path / "new/pin/train/good/000.png").rename(train / "new.png")
    (train / "003.png").rename(train / "renamed.png")
    (tmp_path / "other/pin/test/good/001.png").unlink()
    (entry,) = reprocess("other", str(registry), str(store))
    assert entry.run is not None
    changes = Results(store).changes(entry.run)
    assert changes[["kind", "image_id"]].to_numpy().tolist() == [
        ["removed", "pin/test/good/001.png"],
        ["added", "pin/train/good/new.png"],
        ["renamed", "pin/train/good/renamed.png"],
    ]
    assert computed(store, entry.run)["extract"] == 1


def test_a_name_that_is_not_registered_is_refused(
    registry: Path, tmp_path: Path, settings: Callable[..., object]
) -> None:
    del settings
    with pytest.raises(ValueError, match="did you mean other"):
        nightly(str(registry), str(tmp_path / "store"), datasets=["othr"])
