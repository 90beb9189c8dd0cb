from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

START = "from flows.cli.temporary_server import start_server\nserver = start_server()\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Prefect home."""
    return tmp_path_factory.mktemp("prefect")


def python(program: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    """A program that Prefect's settings name no server, with what it says on its pipes."""
    inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return subprocess.Popen(
        [sys.executable, "-c", START + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=inherited | {"PREFECT_HOME": str(home)} | environment,
    )


def test_a_flow_runs_by_it_and_is_recorded(home: Path) -> None:
    program = """
from prefect import flow, task
with server.used():
    @task
    def double(value): return 2 * value
    @flow(name="doubling")
    def doubling(value):
        for _ in range(20):
            value = double(value)
        return value
    print(doubling(3))
"""
    out, error = python(program, home, PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL").communicate()
    assert (out, error) == (f"{3 * 2**20}\n", "")
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        flows = database.execute("select state_name from flow_run").fetchall()
        tasks = database.execute("select state_name from task_run").fetchall()
    assert flows == [("Completed",)]
    assert tasks == 20 * [("Completed",)]


def test_what_is_older_than_thirty_days_goes(home: Path) -> None:
    run = """
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
with server.used():
    @flow
    def category():
        get_run_logger().info("told")
        create_markdown_artifact("shown", key="shown")
    @flow
    def night():
        category()
    night()
"""
    kinds = ("flow_run", "log", "artifact")
    python(run, home).communicate()
    with closing(sqlite3.connect(home / "prefect.db")) as database:
        for kind in kinds:
            assert database.execute(f"select count(*) from {kind}").fetchone()[0] > 0, kind
        database.execute("update flow_run set end_time = '2020-01-01 00:00:00.000000'")
        database.commit()
    wait = f"""
import sqlite3, time
database = sqlite3.connect({str(home / "prefect.db")!r})
def left():
    return [database.execute(f"select count(*) from {{kind}}").fetchone()[0] for kind in {kinds}]
with server.used():
    end = time.monotonic() + 60
    while any(left()) and time.monotonic() < end:
        time.sleep(0.05)
    print(left())
"""
    out, _ = python(wait, home).communicate()
    assert out == "[0, 0, 0]\n"


def test_it_is_ended_where_a_profile_names_another(home: Path) -> None:
    named = 'active = "team"\n[profiles.team]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n'
    (home / "profiles.toml").write_text(named)
    program = """
import os
with server.used():
    print(os.environ.get("PREFECT_API_URL"), server._process.poll() is None)
"""
    out, error = python(program, home).communicate()
    (home / "profiles.toml").unlink()
    assert (out, error) == ("None False\n", "")


def test_one_that_is_named_in_the_environment_is_taken(home: Path) -> None:
    program = "print(server)"
    out, error = python(program, home, PREFECT_API_URL="http://127.0.0.1:9/api").communicate()
    assert (out, error) == ("None\n", "")


def test_one_that_does_not_start_says_why(home: Path, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/nowhere/prefect.db"
    program = "with server.used(): pass"
    child = python(program, home, PREFECT_API_DATABASE_CONNECTION_URL=url)
    _, error = child.communicate()
    assert child.returncode == 1
    assert "ConfigurationError: Prefect's temporary server did not start: " in error
    assert "unable to open database file" in error


def test_it_ends_with_a_process_that_is_killed(home: Path) -> None:
    program = "print(server._process.pid, flush=True)\nimport time\ntime.sleep(600)"
    with python(program, home) as child:
        assert child.stdout is not None
        server = os.pidfd_open(int(child.stdout.readline()))
        child.send_signal(signal.SIGKILL)
    ended, _, _ = select.select([server], [], [], 120)
    os.close(server)
    assert ended
