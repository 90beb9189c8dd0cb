"""A store with one finished run, made as a user makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import write_category


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, resnet18_weights: Path) -> Path:
    """A store, not to be changed: its run was a process of its own, with its own Prefect server.

    Beside it are the dataset, tiny, and what the command printed, screen.txt.
    """
    folder = tmp_path_factory.mktemp("cli")
    write_category(folder / "tiny", "007")
    write_category(folder / "tiny", "nut", seed=1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment["PREFECT_HOME"] = str(folder / "prefect")
    done = subprocess.run(
        [
            sys.executable, "-m", "flows.cli.app", "evaluate", folder / "tiny", "--store", folder / "store",
            "--backbone", "resnet18", "--weights", resnet18_weights, "--k-gallery", "2", "--run-id", "one",
            "--method", "spade", "--method", "dn2(k=1)", "--fpr", "0.25",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder / "screen.txt").write_text(done.stdout)
    return folder / "store"
