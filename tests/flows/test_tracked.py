"""What arrives in an MLflow server, a real one on loopback."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import spade
from machines import free_port
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from mlflow_server import serving
from tiny import spade as small_spade
from tiny import write_category

from flows.evaluate import evaluate
from flows.nightly import nightly
from flows.registered import RegisteredRun
from flows.tracked import track
from storage.datasets.tracking import Tracking
from storage.results.metrics import METRICS
from storage.results.reader import Results
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.methods.registry import parse_method, parse_methods
from tasks.tracking import Tracker, named

ENSEMBLE = f"ensemble(methods=('dn2', {small_spade().label!r}))"
METHODS = [small_spade().label, "dn2(k=1)", "dn2(k=3)", ENSEMBLE]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an MLflow server."""
    with serving(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture
def experiment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test's own."""
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", request.node.name)
    return str(request.node.name)


@pytest.fixture(scope="module")
def store(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """With a run by several methods, of which a category failed; its names are not as MLflow takes them."""
    folder = tmp_path_factory.mktemp("tracked")
    write_category(folder / "data", "nut (M6)", train=4)
    write_category(folder / "data", "bolt", train=4, seed=3)
    (folder / "data" / "bolt" / "train" / "good" / "000.png").write_bytes(b"")
    evaluate(str(folder / "data"), str(folder / "store"), settings(), run_id="run", methods=METHODS)
    return str(folder / "store")


def runs_of(server: str, experiment: str) -> list[Run]:
    client = MlflowClient(server)
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def files_of(server: str, run: Run, folder: str) -> set[str]:
    found: set[str] = set()
    for each in MlflowClient(server).list_artifacts(run.info.run_id, folder):
        found |= files_of(server, run, each.path) if each.is_dir else {each.path}
    return found


def test_a_run_is_there_once_with_all_its_settings_and_numbers(
    server: str, experiment: str, store: str
) -> None:
    ids = [Tracker(server).hand_over(store, "run") for _ in range(2)]
    (run,) = runs_of(server, experiment)
    assert ids == [run.info.run_id] * 2
    record = Results(store).rows("run", "run")[0]
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.info.start_time == int(record["started"].timestamp() * 1000)
    assert run.info.end_time == int(record["finished"].timestamp() * 1000)
    assert run.data.tags["spade.run"] == "run"
    assert run.data.tags["spade.fingerprint"] == record["fingerprint"]

    parameters = run.data.params
    assert {"backbone": "resnet18", "sigma": "1.0", "dataset": "data"}.items() <= parameters.items()
    assert {"dn2/k": "1", "dn2 2/k": "3", "spade/k_image": "3"}.items() <= parameters.items()
    assert {"ensemble/dn2/k": "2", "ensemble/spade/upsampling": "nearest"}.items() <= parameters.items()
    assert parameters["ensemble"] == parse_method(ENSEMBLE).label
    assert "ensemble/methods" not in parameters

    names = {method.label: name for name, method in named(parse_methods(METHODS))}
    expected = {
        f"{names[row['method']]}/{metric.name}/{row['category'].translate(str.maketrans('()', '__'))}": row[
            metric.name
        ]
        for row in Results(store).rows("categories", "run")
        for metric in METRICS
        if row[metric.name] is not None
    }
    expected |= {
        f"{names[row['method']]}/{row['metric']}": row["mean"]
        for row in Results(store).rows("summary", "run")
        if row["mean"] is not None
    }
    found = run.data.metrics
    assert {name: value for name, value in found.items() if "/" in name} == pytest.approx(expected, abs=0)
    assert len({name.split("/")[0] for name in expected}) == len(METHODS)
    assert found["set_aside"] == 1
    history = MlflowClient(server).get_metric_history(run.info.run_id, "spade/pro/bolt")
    assert len(history) == 1


def test_a_run_of_the_same_name_and_other_settings_is_another_and_reports_follow(
    server: str, experiment: str, store: str, bucket: str, settings: Callable[..., Configuration]
) -> None:
    data, there = str(Path(store).parent / "data"), f"{bucket}/store"
    evaluate(data, there, settings(sigma=2.0), run_id="run", methods=["dn2"])
    pages = {"spade-report.json", "style.css", "nut/a/000.html", "index.html"}
    for place in (store, there):
        code, out, error = spade("export", server, "--format", "mlflow", "--store", place)
        assert (code, error) == (0, "")
        run = MlflowClient(server).get_run(out.strip())
        assert not files_of(server, run, "report")
        opened = Store.open(place)
        opened.write_all({opened.report("run") / page: page.encode() for page in pages})
        assert spade("export", server, "--format", "mlflow", "--store", place)[1] == out
        assert files_of(server, run, "report") == {f"report/{page}" for page in pages}
        opened.remove([opened.report("run")])
    assert sorted(run.data.params["sigma"] for run in runs_of(server, experiment)) == ["1.0", "2.0"]


def test_what_was_cut_off_is_finished_by_the_next(
    server: str, experiment: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker(server)
    with monkeypatch.context() as cut:
        cut.setattr(Tracker, "_hand_over_report", None)  # after the parameters and metrics
        with pytest.raises(TypeError):
            tracker.hand_over(store, "run")
    assert [run.info.status for run in runs_of(server, experiment)] == ["RUNNING"]
    tracker.hand_over(store, "run")
    assert [run.info.status for run in runs_of(server, experiment)] == ["FINISHED"]


def test_a_night_hands_over_its_runs_and_ends_as_ever_without_the_server(
    server: str,
    experiment: str,
    tmp_path: Path,
    resnet18_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_category(tmp_path / "tiny", "nut")
    registry = tmp_path / "datasets.toml"
    registry.write_text(
        f'[configurations.few]\nbackbone = "resnet18"\nweights = "{resnet18_weights}"\n'
        'metric_resolution = 64\nmethods = ["dn2"]\n'
        '[datasets.tiny]\nroot = "tiny"\nconfigurations = ["few"]\n'
        '[mlflow]\nuri = "${SPADE_TEST_MLFLOW}"\n'
    )
    place = str(tmp_path / "store")
    monkeypatch.setenv("SPADE_TEST_MLFLOW", server)
    (entry,) = nightly(str(registry), place)
    (run,) = runs_of(server, experiment)
    assert run.info.run_name == entry.run
    assert run.data.metrics["worse"] == 0

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("SPADE_TEST_MLFLOW", f"http://127.0.0.1:{free_port()}")
    with caplog.at_level(logging.ERROR):
        (entry,) = nightly(str(registry), place)
    assert entry.is_good
    assert f"{entry.run} is not in MLflow: the MLflow server did not take it" in caplog.text
    assert len(runs_of(server, experiment)) == 1


def test_one_run_that_cannot_be_handed_over_keeps_no_other(
    server: str, experiment: str, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [RegisteredRun("data", "few", name, "complete") for name in ("gone", None, "run")]
    track(Tracking(server), store, runs)
    assert [run.info.run_name for run in runs_of(server, experiment)] == ["run"]
    assert "gone is not in MLflow" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ftp://server"], "mlflow.uri is 'ftp://server': it begins with https:// or http://"),
        (["http://me:secret@server"], "mlflow.uri names a user: set MLFLOW_TRACKING_USERNAME"),
        (["http://server", "--category", "bolt"], "format is 'mlflow': it takes all of a run"),
    ],
)
def test_what_cannot_be_is_one_sentence(store: str, words: list[str], message: str) -> None:
    code, _, error = spade("export", *words, "--format", "mlflow", "--store", store)
    assert code == 2
    assert message in error
    assert "secret" not in error
    assert len(error.splitlines()) == 1


def test_nothing_of_it_is_needed_otherwise(store: str) -> None:
    """Where MLflow is not installed, nothing imports it, and who asks for it is told how to install it."""
    program = (
        "import sys; sys.modules['mlflow'] = None; from flows.cli.app import main; import flows.nightly\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["export", "http://127.0.0.1:1", "--format", "mlflow", "--store", store]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: MLflow's client is not installed: pip install 'spade-anomaly[mlflow]'\n"
