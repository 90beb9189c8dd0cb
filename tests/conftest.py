"""Fixtures: a Prefect home and server of the tests' own, tiny datasets, tiny weights."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hypothesis import settings as hypothesis_settings
from machines import Processes, Team
from receiver import Receiver

from storage.store.store import Store
from tasks.core.config import Configuration

hypothesis_settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
hypothesis_settings.load_profile("no deadline")
signal.signal(signal.SIGTERM, signal.default_int_handler)  # fixtures end what they started, then too
_HOME = tempfile.TemporaryDirectory(prefix="spade-tests-")
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "PREFECT_HOME": _HOME.name,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "spade",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
)
if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a core of its own
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))
SHARED = Path(__file__).parents[2] / "shared" / "data"
_FLOWS = Path(__file__).parent / "flows"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the tests, those of a file stay in one, which makes what they share once.

    The tests that need the server of a team stay together, too. What takes longest begins first.
    """
    if not config.getoption("loadgroup", default=False):
        return
    for item in items:
        group = "team" if _needs_team(item) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: (not _needs_team(item), _FLOWS not in item.path.parents))


def _needs_team(item: pytest.Item) -> bool:
    return "team" in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, for the whole session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes; none is left when the test ends."""
    started = Processes(tmp_path)
    yield started
    started.end()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook on loopback."""
    with Receiver() as found:
        yield found


@pytest.fixture(scope="session")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """One server for all tests, with the deployments of a team; its workers are the tests' own."""
    home = tmp_path_factory.mktemp("team")
    started = Processes(home)
    try:
        serving = Team(started, home)
        serving.deploy()
        yield serving
    finally:
        started.end()


@pytest.fixture(scope="session")
def resnet18_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of seeded random weights."""
    import torch
    import torchvision

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def settings(resnet18_weights: Path) -> Callable[..., Configuration]:
    """Makes small configurations: seeded weights, small maps; with what a test changes."""

    def make(**changes: Any) -> Configuration:
        base: dict[str, Any] = {
            "backbone": "resnet18",
            "weights": str(resnet18_weights),
            "metric_resolution": 64,
            "sigma": 1.0,
            "dtype": "float32",
        }
        return Configuration(**(base | changes))

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images, where they are."""
    if not SHARED.is_dir():
        pytest.skip(f"no real images at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3 server on loopback."""
    from s3 import serving

    with serving() as url:
        yield url


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server, named in the environment. Connections stay open from test to test."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def bucket(s3: str) -> str:  # noqa: ARG001 (the server that has it)
    """The URL of an empty bucket."""
    from storage.store.connection import make_bucket

    url = f"s3://bucket-{secrets.token_hex(6)}"
    make_bucket(url)
    return url


@pytest.fixture
def refuse(s3: str) -> Iterator[Callable[[], None]]:
    """Makes the server refuse everybody, until the test ends."""

    def ask(actions: str) -> None:
        """Only so many actions need no credentials that the server knows."""
        request = Request(f"{s3}/moto-api/reset-auth", actions.encode(), {"Content-Type": "text/plain"})
        with urlopen(request) as answer:
            answer.read()

    yield lambda: ask("0")
    ask("inf")


@pytest.fixture
def refusing(bucket: str, refuse: Callable[[], None]) -> str:
    """The URL of a bucket whose server refuses everybody."""
    refuse()
    return bucket


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, in a folder and in a bucket."""
    root = request.getfixturevalue("bucket") if request.param == "bucket" else tmp_path
    return Store.open(f"{root}/store", create=True)
