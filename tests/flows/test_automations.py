"""A run whose worker and process were killed: the server finds out, tells, and lets the next one run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from machines import REPOSITORY, Processes, Team, until
from prefect.settings import PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY
from receiver import Receiver

from flows.automations import HEARTBEAT, MISSED, TAG

SHIPPED = REPOSITORY / "deployments"
WAITING = """
from __future__ import annotations
import time
from pathlib import Path
from prefect import flow
from flows.automations import inherited

@flow(name="part")
def part(store: str) -> None:
    Path(store, "began").touch()
    while not Path(store, "go").exists():
        time.sleep(0.1)

@flow(name="waiting")
def waiting(store: str) -> None:
    with inherited():
        part(store)
"""
AUTOMATE = """
from datetime import timedelta
from flows.automations import automate
from storage.datasets.notify import Notify
automate(Notify("${SPADE_TEST_WEBHOOK}"), timedelta(seconds=10))
"""


def test_a_silent_run_has_crashed_within_three_minutes_of_its_last_heartbeat() -> None:
    looks = PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY.value()
    assert timedelta(seconds=HEARTBEAT * MISSED) + 2 * looks <= timedelta(minutes=3)


def test_every_deployment_sends_heartbeats_and_has_the_tag_that_is_looked_at() -> None:
    for deployment in yaml.safe_load((SHIPPED / "prefect.yaml").read_text())["deployments"]:
        environment = deployment["work_pool"]["job_variables"]["env"]
        assert environment == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT)}
        assert deployment["tags"] == [TAG]


@pytest.mark.integration
def test_the_set_up_makes_the_automation_once(team: Team) -> None:
    team.deploy()
    (found,) = team.ask("POST", "/automations/filter", {})
    assert found["name"] == "spade: a silent run has crashed"
    assert found["trigger"]["within"] == HEARTBEAT * MISSED


@pytest.mark.integration
def test_a_killed_worker_leaves_a_crashed_run_and_the_next_one_runs(
    processes: Processes, receiver: Receiver, tmp_path: Path
) -> None:
    team = Team(processes, tmp_path)
    environment = {**team.environment, "SPADE_TEST_WEBHOOK": receiver.url}

    def run(*command: str) -> None:
        child = processes.start(*command, environment=environment, folder=tmp_path)
        until(lambda: child.poll() is not None, f"the end of {command[0]}")
        assert child.returncode == 0, processes.log(command[0])

    (tmp_path / "waiting_flow.py").write_text(WAITING)
    (tmp_path / "automate_soon.py").write_text(AUTOMATE)
    shipped = yaml.safe_load((SHIPPED / "prefect.yaml").read_text())["deployments"][0]
    deployment = {
        **{name: shipped[name] for name in ("work_pool", "tags", "concurrency_limit")},
        "name": "waiting",
        "entrypoint": "waiting_flow.py:waiting",
        "parameters": {"store": str(tmp_path)},
    }
    (tmp_path / "prefect.yaml").write_text(json.dumps({"name": "waiting", "deployments": [deployment]}))
    run("prefect", "--no-prompt", "work-pool", "create", "spade", "--type", "process")
    run("prefect", "--no-prompt", "deploy", "--all")
    run("automate_soon")
    run("automate_soon")  # replaces them

    def started() -> dict[str, Any]:
        there = team.deployment("waiting/waiting")
        return dict(team.ask("POST", f"/deployments/{there['id']}/create_flow_run", {}))

    worker = team.worker()
    killed = started()
    until((tmp_path / "began").exists, "the run's work")
    worker.kill()
    team.kill(killed["id"])
    worker.wait()
    assert team.state(killed["id"]) == "RUNNING"
    assert team.ended(killed["id"]) == "CRASHED"
    (part,) = team.runs("part")
    assert team.ended(part["id"]) == "CRASHED"
    until(lambda: receiver.received, "the message")
    message = receiver.received[0]
    assert (message["flow"], message["flow_run"]) == ("waiting", killed["id"])
    assert (message["events"], message["store"]) == (["crashed"], str(tmp_path))
    assert f"SPADE waiting: the run {killed['name']} crashed: no sign of life for 10 s" in message["text"]

    (tmp_path / "go").touch()
    worker = team.worker()
    assert team.ended(started()["id"]) == "COMPLETED"  # it has the only slot
    worker.kill()
    worker.wait()
    assert len(receiver.received) == 1  # nothing of the part
    assert receiver.secret not in json.dumps(team.ask("POST", "/automations/filter", {}))
    assert receiver.secret not in json.dumps(team.ask("POST", "/block_documents/filter", {}))
