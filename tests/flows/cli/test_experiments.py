from __future__ import annotations

import csv
import io
import json
import shutil
from itertools import product
from pathlib import Path

import pytest
from command import spade


@pytest.mark.usefixtures("prefect_server")
def test_a_sweep_is_shown_as_a_row_a_point(finished: Path, resnet18_weights: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "store"))
    options = ["--store", copy, "--backbone", "resnet18", "--weights", resnet18_weights, "--run-id", "grid"]
    axes = ["--k", 1, "--k", 2, "--levels", "8,16", "--levels", "16"]
    code, out, _ = spade("sweep", finished.parent / "tiny", *options, *axes)
    assert code == 0
    rows = [line.replace("│", " ").split()[:3] for line in out.splitlines()]
    assert rows[3:7] == [["8,16", "1", "1"], ["8,16", "2", "2"], ["16", "1", "1"], ["16", "2", "2"]]
    assert "fusion" not in out
    code, out, _ = spade("sweep", finished.parent / "tiny", *options, *axes, "--format", "csv")
    points = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(row["run"], row["levels"], row["k_image"], row["fusion"]) for row in points] == [
        (f"grid-{number}", levels, k, "concatenate")
        for number, (levels, k) in enumerate(product(("8,16", "16"), "12"), start=1)
    ]
    code, out, _ = spade("results", "--store", copy, "--table", "sweep", "--format", "json")
    rows = json.loads(out)
    assert code == 0
    assert [row["category"] for row in rows] == ["007", "nut"] * 4
    mean = (rows[0]["pixel_rocauc"] + rows[1]["pixel_rocauc"]) / 2
    assert float(points[0]["pixel_rocauc"]) == pytest.approx(mean)
