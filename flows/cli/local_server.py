"""A Prefect server of our own, for a machine that has none: scheduled runs need one that stays up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from tasks.core.errors import ConfigurationError

_START, _STOP = 300.0, 20.0  # seconds: a first start migrates its database
SETTINGS = {
    # by default leases are lost with the server: the slot of a run that then dies would never be free again
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # by default flow runs, their logs and artifacts are kept for ever
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 86_400),  # seconds
}


@contextmanager
def local_server(port: int) -> Iterator[str]:
    """Run a Prefect server on loopback as a child process; its API's URL, once it answers.

    Its data and its log lie in PREFECT_HOME. It is ended with the context.

    Raises:
        ConfigurationError: the port is taken, or the server does not start.
    """
    _check_free(port)
    signal.signal(signal.SIGTERM, _exit)
    log = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser() / "spade-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=SETTINGS | os.environ,
            start_new_session=True,  # Ctrl-C reaches us alone: the server goes last
        )
    try:
        url = f"http://127.0.0.1:{port}/api"
        _wait_for(url, process, log)
        yield url
    finally:
        _stop(process)


def _exit(*_: object) -> None:
    sys.exit(128 + signal.SIGTERM)  # through the `finally` that ends the server


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigurationError(
                f"port {port} cannot be used ({error.strerror}): is `spade serve` running already? End it, "
                "name another --port, or set PREFECT_API_URL to use the server that runs there"
            ) from None


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"{url}/health", timeout=10) as answer:
                if answer.status == 200:
                    return
        except (OSError, HTTPException):
            time.sleep(0.3)
    raise ConfigurationError(f"the Prefect server did not start: {log} says why")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(_STOP)
            except subprocess.TimeoutExpired:
                continue
