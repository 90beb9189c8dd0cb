"""Fixtures: a Prefect home and server of the tests' own, tiny datasets, tiny weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from tasks.core.config import Configuration

hypothesis_settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
hypothesis_settings.load_profile("no deadline")
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
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server with a database of its own, for the whole session."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


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
    """Makes small configurations: seeded weights, few neighbours, small maps; with what a test changes."""

    def make(**changes: Any) -> Configuration:
        base: dict[str, Any] = {
            "backbone": "resnet18",
            "weights": str(resnet18_weights),
            "k_image": 3,
            "k_gallery": 2,
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
