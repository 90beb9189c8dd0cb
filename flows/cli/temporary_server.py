"""A Prefect server for the time of one command, where none is named.

Prefect starts one itself, but only when the first flow runs, and imports all of the server into the command
for it. This one starts with the command, beside its imports.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from tempfile import TemporaryFile

from tasks.core.errors import ConfigurationError

_RECORD, _STOP = 20.0, 30.0  # seconds at most: to record what it was sent, and to end
_POLL = 0.02
_answers = threading.Event()  # in the server's process


class TemporaryServer:
    """A child process that answers on loopback; it ends with this process, however that ends."""

    def __init__(self) -> None:
        """Start it, and do not wait: who connects before it is ready is answered then."""
        self._log = TemporaryFile()  # noqa: SIM115 (open as long as the server)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self._port = listening.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listening.fileno())],
                stdin=subprocess.PIPE,  # at its end of file it ends
                stdout=self._log,
                stderr=self._log,
                pass_fds=[listening.fileno()],
                start_new_session=True,  # Ctrl-C reaches us alone: the server goes last
            )
        atexit.register(self.stop)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Wait until it answers, and run flows by it; end it if Prefect's settings name another, or none.

        Flows send no heartbeats: it has no automation that would miss them, and each flow would wait for the
        thread that does, half a second in the mean.

        Raises:
            ConfigurationError: it does not answer; its log says why.
        """
        from prefect.context import refresh_global_settings_context
        from prefect.settings import (
            PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
            get_current_settings,
            temporary_settings,
        )

        settings = get_current_settings()
        if settings.api.url is not None or not settings.server.ephemeral.enabled:
            self.stop()
            yield
            return
        self._wait(settings.server.ephemeral.startup_timeout_seconds)
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{self._port}/api"
        refresh_global_settings_context()
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield

    def stop(self) -> None:
        """End it, when it has recorded what it was sent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, seconds: float) -> None:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=seconds)
        try:
            connection.request("GET", "/api/health")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        self.stop()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip() or f"it did not answer in {seconds} seconds"
        raise ConfigurationError(f"Prefect's temporary server did not start: {said}")


def start_server() -> TemporaryServer | None:
    """A server that starts, unless the environment names one, or Prefect's settings where they are read."""
    if os.environ.get("PREFECT_API_URL"):
        return None
    if "prefect" in sys.modules:
        from prefect.settings import get_current_settings

        if get_current_settings().api.url is not None:
            return None
    return TemporaryServer()


def _serve(listening: socket.socket) -> None:
    """Answer until the process that started this one closes stdin, or has ended."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    gc.disable()  # imports leave no garbage, and to look for it takes a fifth of their time
    from flows.cli.local_server import SETTINGS

    os.environ |= SETTINGS | os.environ
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.server.services.db_vacuum import schedule_vacuum_tasks
    from prefect.server.services.perpetual_services import get_perpetual_services

    for service in get_perpetual_services():
        if service.function is schedule_vacuum_tasks:  # else its database would grow with every command
            service.run_in_ephemeral = True
    app = create_app(ephemeral=True, final=True)
    gc.freeze()
    gc.enable()
    _answers.set()
    uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(sockets=[listening])


def _end_with_stdin() -> None:
    """Wait for the end of stdin, and for the queue of events from which tasks' states are recorded.

    What is in it is lost when the server ends.
    """
    os.read(sys.stdin.fileno(), 1)
    end, empty = time.monotonic() + _RECORD, 0
    while _answers.is_set() and empty < 2 and time.monotonic() < end:  # twice: what just arrived is not in it
        time.sleep(_POLL)
        empty = empty + 1 if _queued() == 0 else 0
    os.kill(os.getpid(), signal.SIGTERM)


def _queued() -> int:
    """Events that are not worked on yet."""
    from prefect.server.utilities.messaging.memory import METRICS

    return METRICS["events"]["published"] - METRICS["events"]["consumed"]


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
