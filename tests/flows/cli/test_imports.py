"""What each command imports of the packages that take their time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

READERS = {"numpy", "pyarrow"}
STORES = READERS | {"zarr", "pandas"}  # pandas by pyarrow, where a table is made
NETWORKS = {"torch", "numba", "faiss", "scipy"}
BUILT = {"torchvision", "timm", "sklearn", "matplotlib", "prefect", "dask"}
HEAVY = STORES | NETWORKS | BUILT
PLAN = ["plan", "DATASET", "--backbone", "resnet18", "--weights", "WEIGHTS", "--k-gallery", "2"]


@pytest.mark.parametrize(
    ("arguments", "may"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["evaluate", "--help"], {"numpy"}),
        (["results"], READERS),
        (["sql", "from runs"], READERS | {"pandas"}),
        (["inspect", "DATASET"], READERS),
        (["accept", "one"], READERS),
        (["compare", "one", "one"], STORES),
        (["methods", "one"], STORES | {"scipy"}),
        (["repair"], STORES),
        (["usage"], STORES),
        (["prune"], STORES),
        (["pin", "one", "--why", "it"], READERS),
        (PLAN, STORES | NETWORKS),
        (["score", "IMAGE", "--category", "nut", "--fpr", "0.3"], STORES | NETWORKS),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_imports_what_it_needs(
    finished: Path, resnet18_weights: Path, tmp_path: Path, arguments: list[str], may: set[str]
) -> None:
    dataset = finished.parent / "tiny"
    image = dataset / "nut" / "test" / "good" / "000.png"
    values = {"DATASET": dataset, "WEIGHTS": resnet18_weights, "IMAGE": image}
    words = [str(values.get(word, word)) for word in arguments]
    if not words[-1].startswith("--"):
        words += ["--store", str(shutil.copytree(finished, tmp_path / "store"))]
    program = (
        f"import sys; from flows.cli.app import main\ncode = main({words!r})\n"
        f"print(*({HEAVY!r} & sys.modules.keys())); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.splitlines()[-1].split()) <= may
