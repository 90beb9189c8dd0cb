"""kill -9 in the middle, then the same command: the same tables, and nothing done twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL
from tiny import spade, write_category

from storage.results.reader import Results

TRAIN, NORMAL, ANOMALOUS = 21, 12, 13
SPADE = spade().label
TABLES = ("categories", "summary", "images", "neighbors", "manifest")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "thing", train=TRAIN, normal=NORMAL, anomalous=ANOMALOUS)
    return root


def lines_of(command: list[str], *, kill_at: str | None = None) -> Iterator[str]:
    """The log of `spade`, killed with all it started as soon as a line contains `kill_at`."""
    environment = {name: value for name, value in os.environ.items() if "LOGGING" not in name}
    environment["PREFECT_API_URL"] = str(PREFECT_API_URL.value())
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli.app", *command, "-v"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            yield line
            if kill_at is not None and kill_at in line:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == (0 if kill_at is None else -signal.SIGKILL)


def batches(lines: list[str], step: str) -> list[tuple[int, int]]:
    """What a log says of a step: how many were done by then, and how many of them were new."""
    pattern = re.compile(rf"{re.escape(step)} thing: (\d+) of \d+, (?:(\d+) new|found in the store)")
    return [(int(found[1]), int(found[2] or 0)) for line in lines if (found := pattern.search(line))]


@pytest.mark.usefixtures("prefect_server")
def test_killed_runs_go_on_and_end_with_the_same_tables(
    dataset: Path, resnet18_weights: Path, tmp_path: Path
) -> None:
    options = "--backbone resnet18 --batch-size 4 --metric-resolution 64 --k-image 3 --k-gallery 2"

    def command(store: str) -> list[str]:
        arguments = [
            "--store",
            str(tmp_path / store),
            "--weights",
            str(resnet18_weights),
            "--run-id",
            "night",
        ]
        return ["evaluate", str(dataset), *arguments, *options.split(), "--upsampling", "nearest"]

    images, test = TRAIN + NORMAL + ANOMALOUS, NORMAL + ANOMALOUS
    killed = list(lines_of(command("killed"), kill_at="extract thing: 12 of"))
    assert batches(killed, "extract")[:4] == [(0, 0), (4, 4), (8, 4), (12, 4)]
    assert batches(killed, SPADE) == []

    again = list(lines_of(command("killed"), kill_at=f"{SPADE} thing: 8 of"))
    found, *extracted = batches(again, "extract")
    assert 12 <= found[0] < images
    assert found[0] + sum(new for _, new in extracted) == images

    last = list(lines_of(command("killed")))
    assert batches(last, "extract") == [(images, 0)]
    found, *scored = batches(last, SPADE)
    assert 8 <= found[0] < test
    assert found[0] + sum(new for _, new in scored) == test

    list(lines_of(command("whole")))
    for name in TABLES:
        killed_bytes, whole_bytes = (
            Path(Results(tmp_path / store).folder("night") / f"{name}.parquet").read_bytes()
            for store in ("killed", "whole")
        )
        assert killed_bytes == whole_bytes, name
    image_ids = Results(tmp_path / "whole").images()["image_id"]
    for image_id in image_ids:
        first, second = (
            Results(tmp_path / store).anomaly_map("night", image_id) for store in ("killed", "whole")
        )
        assert (first == second).all()
