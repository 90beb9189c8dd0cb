"""The page docs/adding.md: what it adds to a copy of the project works with all that is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from machines import REPOSITORY
from tiny import write_image

_BLOCK = re.compile(r"^```(python|diff) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGE = (REPOSITORY / "docs" / "adding.md").read_text()


def apply(project: Path, kind: str, path: str, block: str) -> None:
    """Write a new file, or replace lines of one that is there."""
    target = project / path
    if kind == "python":
        assert not target.exists()
        target.write_text(block)
        return
    text = target.read_text()
    hunks = re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)*)", block, re.MULTILINE)
    assert hunks
    for old, new in hunks:
        before, after = (re.sub(r"^[-+]", "", part, flags=re.MULTILINE) for part in (old, new))
        assert text.count(before) == 1, f"{path} has {text.count(before)} times:\n{before}"
        text = text.replace(before, after)
    target.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all that the page adds."""
    project = tmp_path_factory.mktemp("project")
    for folder in ("flows", "tasks", "storage", "deployments"):
        shutil.copytree(REPOSITORY / folder, project / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for kind, path, block in _BLOCK.findall(PAGE):
        apply(project, kind, path, block)
    return project


@pytest.mark.parametrize("subject", ["method", "metric", "layout"])
def test_each_touches_two_files_at_most(subject: str) -> None:
    section = PAGE.split(f"## A {subject}\n")[1].split("\n## ")[0]
    assert 1 <= len({path for _, path, _ in _BLOCK.findall(section)}) <= 2


def test_what_is_added_works_with_what_was_there(
    project: Path, resnet18_weights: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name in ("train-0", "train-1", "train-2", "train-3", "good-0", "good-1", "bad-0", "bad-1"):
        level = 250 if name.startswith("bad") else 110
        write_image(tmp_path / "data" / f"{name}.png", rng.normal(level, 5, (40, 49, 3)).astype(np.uint8))
    registry = tmp_path / "datasets.toml"
    registry.write_text(
        f'[configurations.all]\nbackbone = "resnet18"\nweights = "{resnet18_weights}"\n'
        "metric_resolution = 64\nmethods = [\"centre(power=2.0)\", \"ensemble(methods=('centre', 'dn2'))\"]\n"
        f'[datasets.plain]\nroot = "{tmp_path / "data"}"\nconfigurations = ["all"]\n'
        'layout = { kind = "flat" }\n'
    )

    def spade(*arguments: object) -> str:
        command = [sys.executable, "-m", "flows.cli.app", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(project), "COLUMNS": "200"}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    store = ("--store", tmp_path / "store")
    assert "found without a false alarm" in spade("nightly", "--registry", registry, *store)
    (table,) = (tmp_path / "store" / "runs").glob("*/categories.parquet")
    rows = pq.read_table(table).to_pylist()
    assert [row["method"] for row in rows] == ["centre(power=2.0)", "ensemble(methods=('centre', 'dn2'))"]
    for row in rows:
        assert (row["status"], row["image_above_all_normal_embedding"]) == ("ok", 1.0)
        assert row["map_reason"] == f"{row['method']} scores whole images"
    spade("report", *store)
    page = next((tmp_path / "store" / "reports").glob("*/index.html")).read_text()
    assert "found without a false alarm" in page
    assert "centre(power=2.0)" in page
    assert "anomalous" in spade("score", tmp_path / "data" / "bad-0.png", "--fpr", 0.25, *store)
    assert "centre(power=2.0)" in spade("methods", *store)
    settings = ("--backbone", "resnet18", "--weights", resnet18_weights, "--metric-resolution", 64)
    planned = spade(
        *("plan", "plain", "--registry", registry, "--method", "centre(power=2.0)"), *settings, *store
    )
    assert "nothing to extract, nothing to score" in planned
