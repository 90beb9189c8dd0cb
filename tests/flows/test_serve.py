"""`spade serve` on a machine without a server: the schedule makes the night, and nothing is left behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from machines import Processes, free_port, until
from tiny import write_category

from storage.errors import StoreError
from storage.results.reader import Results


def statuses(store: Path) -> list[str]:
    try:
        return list(Results(store).runs()["status"])
    except StoreError:
        return []


@pytest.mark.integration
def test_serve_runs_the_night_by_its_schedule_and_ends_with_all_it_started(
    processes: Processes, resnet18_weights: Path, tmp_path: Path
) -> None:
    write_category(tmp_path / "tiny", "thing")
    (tmp_path / "datasets.toml").write_text(
        "[configurations.small]\n"
        f'backbone = "resnet18"\nweights = {json.dumps(str(resnet18_weights))}\n'
        "k_image = 3\nk_gallery = 2\nmetric_resolution = 64\n"
        '[datasets.tiny]\nroot = "tiny"\nconfigurations = ["small"]\n'
    )
    home, port = tmp_path / "home", str(free_port())
    environment = {"PREFECT_HOME": str(home)}
    command = [
        "serve",
        "--cron",
        "* * * * *",
        "--registry",
        "datasets.toml",
        "--store",
        "store",
        "--port",
        port,
    ]
    serving = processes.start("flows.cli.app", *command, environment=environment, folder=tmp_path)
    until(lambda: serving.poll() is not None or statuses(tmp_path / "store"), "a night")
    assert statuses(tmp_path / "store")[0] == "complete", processes.log("flows.cli.app")
    assert len(Results(tmp_path / "store").images()) == 5

    second = processes.start("flows.cli.app", *command, environment=environment, folder=tmp_path)
    assert until(lambda: second.poll() is not None, "the second one's end")
    assert second.returncode == 2
    assert f"error: port {port} cannot be used" in processes.log("flows.cli.app")

    serving.send_signal(signal.SIGTERM)
    assert until(lambda: serving.poll() is not None, "the end")
    until(lambda: not processes.left(), "the end of all that it started", 30)


def test_a_cron_that_is_none_is_refused_before_anything_starts(processes: Processes, tmp_path: Path) -> None:
    environment = {"PREFECT_API_URL": "http://127.0.0.1:1/api"}
    process = processes.start(
        "flows.cli.app", "serve", "--cron", "at two", environment=environment, folder=tmp_path
    )
    assert until(lambda: process.poll() is not None, "the error")
    assert process.returncode == 2
    assert "error: cron is 'at two': it has five fields" in processes.log("flows.cli.app")
