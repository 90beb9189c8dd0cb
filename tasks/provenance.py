"""Where a number comes from: versions, commit, memory."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

_PACKAGES = (
    "spade-anomaly",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "faiss-cpu",
    "zarr",
    "pyarrow",
    "pillow",
    "prefect",
)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def git_commit() -> str | None:
    """The commit of the code, with -dirty for changes on top; None where it is not a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def peak_memory_mib() -> float:
    """Highest resident memory of this process so far, MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
