"""Real processes on loopback: what a team runs on its machines, started by tests and surely ended."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil  # type: ignore[import-untyped]

T = TypeVar("T")
REPOSITORY = Path(__file__).parents[1]
PATIENCE = 240.0  # seconds: a busy machine is no failure
_MARK = "SPADE_TEST_PROCESSES"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], T], what: str, patience: float = PATIENCE, every: float = 0.2) -> T:
    """What `found` returns, as soon as it is true."""
    end = time.monotonic() + patience
    while not (value := found()):
        assert time.monotonic() < end, f"waited {patience:.0f} s for {what}"
        time.sleep(every)
    return value


class Processes:
    """Children that carry a mark in their environment, by which all that they start is found, too."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._mark = secrets.token_hex(8)
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        """Run `python -m COMMAND` in `folder`; its output goes to a file that `log` reads."""
        with self._log(command[0]).open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY), _MARK: self._mark, **environment},
                cwd=folder,
                start_new_session=True,
            )
        self._children.append(child)
        return child

    def log(self, program: str) -> str:
        return self._log(program).read_text()

    def left(self) -> list[str]:
        """The command lines of all that still run."""
        return [" ".join(process.cmdline()) for process in self._marked()]

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self._marked():
            process.kill()
        for child in self._children:
            child.wait()
        until(lambda: not self.left(), "the end of all processes", 30)

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_MARK) == self._mark:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def _log(self, program: str) -> Path:
        return self.logs / f"{program}.log"


class Team:
    """A Prefect server that asks for a password, and whoever knows it."""

    def __init__(self, processes: Processes, home: Path) -> None:
        port = free_port()
        password = f"team:{secrets.token_hex(8)}"
        self.processes = processes
        self.folder = home
        self.url = f"http://127.0.0.1:{port}/api"
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_API_AUTH_STRING": password,
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        processes.start(
            *("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"),
            environment={
                "PREFECT_HOME": str(home),
                "PREFECT_SERVER_API_AUTH_STRING": password,
                "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                    "prefect.server.concurrency.lease_storage.filesystem"
                ),
                "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
                "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
            },
            folder=home,
        )
        until(self._answers, "the Prefect server")

    def ask(self, method: str, path: str, json: Any = None) -> Any:
        """The server's answer; asked again while it says 503, as by its clients: its database is busy."""

        def answered() -> httpx.Response | None:
            found = httpx.request(method, self.url + path, json=json, auth=self.auth, timeout=60)
            return None if found.status_code == httpx.codes.SERVICE_UNAVAILABLE else found

        answer = until(answered, f"an answer to {method} {path}")
        assert answer is not None
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    @property
    def auth(self) -> tuple[str, str]:
        name, password = self.environment["PREFECT_API_AUTH_STRING"].split(":")
        return name, password

    def deploy(self) -> None:
        """Set the server up as a team does."""
        environment = {
            **os.environ,
            **self.environment,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "SPADE_STORE": str(self.folder / "store"),
        }
        done = subprocess.run(
            ["sh", str(REPOSITORY / "deployments" / "setup.sh")],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def worker(self) -> subprocess.Popen[bytes]:
        return self.processes.start(
            *("prefect", "worker", "start", "--pool", "spade"),
            environment=self.environment,
            folder=self.folder,
        )

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/deployments/name/{name}"))

    def runs(self, flow: str) -> list[dict[str, Any]]:
        """The flow's runs, oldest first."""
        query = {"flows": {"name": {"any_": [flow]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.ask("POST", "/flow_runs/filter", query))

    def schedule_night(self, parameters: Mapping[str, Any]) -> str:
        """Let the schedule of the nightly deployment create one run in some seconds, and return its id.

        The scheduler looks ahead only: where it was too busy to look in time, it gets more of it.
        """
        deployment = self.deployment("nightly/nightly")
        path = f"/deployments/{deployment['id']}/schedules"
        known = {run["id"] for run in self.runs("nightly")}

        def created() -> str | None:
            due = datetime.now(UTC) + timedelta(days=1)
            for run in self.runs("nightly"):
                if run["id"] not in known and datetime.fromisoformat(run["expected_start_time"]) < due:
                    return str(run["id"])
            return None

        for lead in (3, 15, 60, 240):
            for schedule in self.deployment("nightly/nightly")["schedules"]:
                self.ask("DELETE", f"{path}/{schedule['id']}")
            start = datetime.now(UTC) + timedelta(seconds=lead)
            schedule = {
                "interval": timedelta(days=300).total_seconds(),
                "anchor_date": start.isoformat(),
            }
            self.ask("POST", path, [{"schedule": schedule, "active": True, "parameters": dict(parameters)}])
            until(lambda: created() or datetime.now(UTC) > start + timedelta(seconds=5), "a scheduled run")  # noqa: B023
            if (run := created()) is not None:
                return run
        raise AssertionError("the schedule has made no run")

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state_type"])

    def ended(self, run: str) -> str:
        """How a run ends."""

        ends = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        until(lambda: self.state(run) in ends, f"the end of run {run}")
        return self.state(run)

    def kill(self, run: str) -> None:
        """kill -9 of the process of a flow run."""
        host_and_pid = self.ask("GET", f"/flow_runs/{run}")["infrastructure_pid"]
        os.kill(int(host_and_pid.rsplit(":")[-1]), signal.SIGKILL)

    def free_slot(self) -> None:
        """What the server does five minutes after the last sign of life of a run that held the only slot."""
        for limit in self.ask("POST", "/v2/concurrency_limits/filter", {}):
            self.ask("PATCH", f"/v2/concurrency_limits/{limit['id']}", {"active_slots": 0})

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.TransportError:
            return False
