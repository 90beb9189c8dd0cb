"""A run in an MLflow server: its settings as parameters, its metrics, its report."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from storage.results.metrics import METRICS
from storage.results.reader import Results
from storage.store.files import Files
from storage.store.location import Location
from storage.store.store import Store
from tasks.core.batches import batches
from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Method
from tasks.run.tables import configuration_of, methods_of

RUN, FINGERPRINT = "spade.run", "spade.fingerprint"
_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"  # MLflow's own variable
_DEFAULTS = {  # of MLflow's own variables: a server that is away is given up after seconds, in silence
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_PARAMETERS = (
    "dataset",
    "root",
    "device",
    "batch_size",
    "weights_sha256",
    "data_digest",
    "configuration_key",
)
_COUNTS = ("seconds", "categories", "failed", "worse", "drifted", "images", "set_aside", "peak_memory_mib")
_AT_ONCE = 32  # files of a report
_WIDTH = 400  # of a reason


class Tracker:
    """An experiment of an MLflow server, that of MLFLOW_EXPERIMENT_NAME or "spade"."""

    def __init__(self, uri: str) -> None:
        """Find the experiment, or make it.

        Raises:
            ConfigurationError: MLflow's client is not installed, or the server does not answer, or refuses.
        """
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        try:
            from mlflow.tracking import MlflowClient
        except ImportError:
            raise ConfigurationError(
                "MLflow's client is not installed: pip install 'spade-anomaly[mlflow]'"
            ) from None
        self._client = MlflowClient(uri)
        name = os.environ.get(_EXPERIMENT, "spade")
        with _answering():
            found = self._client.get_experiment_by_name(name)
            self._experiment = self._client.create_experiment(name) if found is None else found.experiment_id

    def hand_over(self, store: str, run: str = "latest") -> str:
        """Put a finished run there, or again what is there of it; its id in MLflow.

        It is found by its id and its fingerprint, so that a second time makes no second run. Its report is an
        artifact, if it has one.

        Raises:
            StoreError: there is no such run.
            ConfigurationError: the server does not answer, or refuses.
        """
        results = Results(store)
        record = results.rows("run", run)[0]
        run = record["run"]
        metrics = dict(metrics_of(record, results.rows("categories", run), results.rows("summary", run)))
        with _answering():
            id = self._find(record) or self._create(record)
            self._log(id, record, metrics, str(Store.at(store).root))
            self._hand_over_report(id, Store.open(store).report(run))
            status = "FINISHED" if record["status"] == "complete" else "FAILED"
            self._client.set_terminated(id, status, _milliseconds(record["finished"]))
        return id

    def _find(self, record: Mapping[str, Any]) -> str | None:
        wanted = {RUN: record["run"], FINGERPRINT: record["fingerprint"]}
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in wanted.items())
        found = self._client.search_runs([self._experiment], query, max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, record: Mapping[str, Any]) -> str:
        tags = {RUN: record["run"], FINGERPRINT: record["fingerprint"]}
        made = self._client.create_run(
            self._experiment, _milliseconds(record["started"]), tags, record["run"]
        )
        return str(made.info.run_id)

    def _log(self, id: str, record: Mapping[str, Any], metrics: Mapping[str, float], store: str) -> None:
        """Tags, parameters and metrics, as many at once as MLflow takes; what is there already stays."""
        from mlflow.entities import Metric, Param, RunTag

        tags = {"spade.status": record["status"], "spade.store": store}
        tags |= {f"spade.version.{name}": version for name, version in record["versions"].items()}
        finished = _milliseconds(record["finished"])
        for part in batches(list(tags.items()), 100):
            self._client.log_batch(id, tags=[RunTag(*each) for each in part])
        for part in batches(list(parameters_of(record)), 100):
            self._client.log_batch(id, params=[Param(*each) for each in part])
        for part in batches(list(metrics.items()), 1000):
            self._client.log_batch(id, metrics=[Metric(name, value, finished, 0) for name, value in part])

    def _hand_over_report(self, id: str, folder: Location) -> None:
        """Upload a report, wherever the store lies; its first page last."""
        files = Files(folder)
        names = sorted(map("/".join, files.sizes()), key=lambda name: name == "index.html")
        if names[-1:] != ["index.html"]:  # none, or unfinished
            return
        for part in batches(names, _AT_ONCE):
            with TemporaryDirectory() as copy:
                for name, content in zip(part, files.read_all([folder / each for each in part]), strict=True):
                    path = Path(copy, name)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                self._client.log_artifacts(id, copy, "report")


@contextmanager
def _answering() -> Iterator[None]:
    """What the client cannot do is a ConfigurationError, in one line."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:_WIDTH]
        raise ConfigurationError(f"the MLflow server did not take it: {reason}") from error


def parameters_of(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings of a run by name: those of all methods, and METHOD/SETTING; METHOD is its label."""
    for name in _PARAMETERS:
        yield name, _text(record[name])
    for name, value in configuration_of(record).values().items():
        yield name, _text(value)
    yield from _of_methods(methods_of(record))


def metrics_of(
    record: Mapping[str, Any], categories: Iterable[Mapping[str, Any]], summary: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, float]]:
    """Numbers of a run by name: METHOD/METRIC/CATEGORY, its average METHOD/METRIC, and counts."""
    for name in _COUNTS:
        yield name, float(record[name])
    names = {method.label: name for name, method in named(methods_of(record))}
    for row in categories:
        for metric in METRICS:
            if row.get(metric.name) is not None:
                yield _key(names[row["method"]], metric.name, row["category"]), row[metric.name]
    for row in summary:
        if row["mean"] is not None:
            yield _key(names[row["method"]], row["metric"]), row["mean"]


def named(methods: Sequence[Method]) -> Iterator[tuple[str, Method]]:
    """Methods by short names, the same night after night: patchcore, and the second such one patchcore 2."""
    seen: list[str] = []
    for method in methods:
        seen.append(method.name)
        count = seen.count(method.name)
        yield method.name if count == 1 else f"{method.name} {count}", method


def _of_methods(methods: Sequence[Method], above: str = "") -> Iterator[tuple[str, str]]:
    for name, method in named(methods):
        yield f"{above}{name}", method.label
        for setting, value in method.values().items():
            if value is not method.members:
                yield f"{above}{name}/{setting}", _text(value)
        if method.members != (method,):
            yield from _of_methods(method.members, f"{above}{name}/")


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _key(*parts: str) -> str:
    """A name as MLflow takes it."""
    return "/".join(re.sub(r"[^\w .-]", "_", part) for part in parts)
