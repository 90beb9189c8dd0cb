"""The deployments of a team, on a server that asks for a password, and the files of its containers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from machines import REPOSITORY, Processes, Team, until
from tiny import write_category

from storage.results.reader import Results

DEPLOYMENTS = REPOSITORY / "deployments"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "compose.yaml").read_text())
COMPOSED = (DEPLOYMENTS / "compose.yaml").read_text()


@pytest.mark.integration
def test_only_who_knows_the_password_gets_an_answer(team: Team) -> None:
    def status(auth: tuple[str, str] | None) -> int:
        return httpx.post(f"{team.url}/flows/filter", auth=auth, timeout=60).status_code

    assert status(None) == 401
    assert status(("team", "wrong")) == 401
    assert status(team.auth) == 200


@pytest.mark.integration
def test_the_set_up_deploys_every_flow_and_may_be_run_again(team: Team) -> None:
    team.deploy()  # as once before
    nightly = team.deployment("nightly/nightly")
    assert nightly["entrypoint"] == "flows.nightly.nightly"
    assert nightly["schedules"][0]["schedule"]["cron"] == "0 2 * * *"
    assert nightly["global_concurrency_limit"]["limit"] == 1
    assert nightly["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    store = str(team.folder / "store")
    assert nightly["parameters"] == {"registry": "deployments/datasets.toml", "store": store}
    watch = team.deployment("watch/watch")
    assert [(each["schedule"]["interval"], each["active"]) for each in watch["schedules"]] == [(900, False)]
    assert watch["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    reprocess, evaluate = team.deployment("reprocess/reprocess"), team.deployment("evaluate/evaluate")
    assert not reprocess["schedules"]
    assert not evaluate["schedules"]
    assert list(reprocess["parameter_openapi_schema"]["properties"])[:3] == ["dataset", "registry", "store"]
    assert evaluate["parameters"] == {"store": store}


@pytest.mark.integration
def test_a_run_started_by_hand_is_on_the_teams_server(
    team: Team, processes: Processes, resnet18_weights: Path, tmp_path: Path
) -> None:
    write_category(tmp_path / "tiny", "thing")
    options = ["--backbone", "resnet18", "--k-image", "3", "--k-gallery", "2", "--metric-resolution", "64"]
    command = ["evaluate", str(tmp_path / "tiny"), "--weights", str(resnet18_weights), *options, "-v"]
    known = len(team.runs("evaluate"))
    process = processes.start("flows.cli.app", *command, environment=team.environment, folder=tmp_path)
    assert until(lambda: process.poll() is not None, "spade evaluate")
    assert process.returncode == 0, processes.log("flows.cli.app")
    assert len(Results(tmp_path / "spade-store").images()) == 5
    assert [run["state_type"] for run in team.runs("evaluate")[known:]] == ["COMPLETED"]


def test_nothing_of_the_composition_is_open_to_other_machines() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("${BIND:-127.0.0.1}:") for port in ports)


def test_the_composition_has_no_password_of_its_own() -> None:
    example = (DEPLOYMENTS / "env.example").read_text()
    assigned = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert set(assigned.values()) == {""}
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSED))
    used = set(re.findall(r"\$\{(\w+)", COMPOSED))
    assert required == assigned.keys()
    assert used == required | {"BIND", "SPADE_WEBHOOK"}


def test_passwords_reach_neither_the_repository_nor_the_image() -> None:
    assert "deployments/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()
    copied = re.findall(r"^COPY (.*) \S+$", (DEPLOYMENTS / "Containerfile").read_text(), re.MULTILINE)
    names = [name for names in copied for name in names.split()]
    assert all((REPOSITORY / name).exists() for name in names)
    assert not {".", "deployments", "deployments/.env"} & {name.rstrip("/") for name in names}


def test_the_composition_starts_only_what_is_healthy_and_pinned() -> None:
    services = COMPOSE["services"]
    for name, service in services.items():
        assert service["image"] == "spade" or re.search(r":.*\d", service["image"]), name
        assert service["restart"] in ("unless-stopped", "on-failure"), name
        assert name == "setup" or "healthcheck" in service, name
        for other, condition in service.get("depends_on", {}).items():
            healthy = "service_completed_successfully" if other == "setup" else "service_healthy"
            assert condition == {"condition": healthy}, name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or source[0] in "$.", name
    assert COMPOSE["volumes"].keys() == {"database", "store", "prefect"}


@pytest.mark.parametrize("service", ["server", "worker"])
def test_the_commands_of_the_composition_exist(service: str) -> None:
    program, *arguments = COMPOSE["services"][service]["command"]
    assert program == "prefect"
    words = [word for word in arguments if not word.startswith("-")][:2]
    asked = [sys.executable, "-m", "prefect", *words, "--help"]
    text = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert all(option in text for option in arguments if option.startswith("--"))
