from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command import spade
from tiny import write_category, write_image


def test_a_run_ends_with_its_table_and_nothing_else(finished: Path) -> None:
    screen = (finished.parent / "screen.txt").read_text()
    assert "Prefect" not in screen
    assert "INFO" not in screen
    for text in (
        "007",
        "nut",
        "average",
        "pixel ROCAUC",
        "PRO",
        "extract",
        "whole run",
        "dn2(k=1) scores whole images",
        "which is best, and at what cost: spade methods",
        "run one: tables in",
    ):
        assert text in screen
    assert len(screen.splitlines()) == 15


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("command", ["evaluate", "plan", "sweep"])
@pytest.mark.parametrize(
    ("root", "options", "message"),
    [
        ("nowhere", [], "no dataset at"),
        ("data", ["--category", "nutt"], "no category 'nutt' under .*: did you mean nut"),
        ("data/nut", [], "is one category: name its parent folder"),
        ("data", ["--weights", "absent.pth"], "weights is 'absent.pth': no such file"),
        ("data", ["--store", "/dev/null/store"], "store"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    command: str, root: str, options: list[str], message: str, tmp_path: Path
) -> None:
    write_category(tmp_path / "data", "nut", train=1, normal=1, anomalous=1)
    code, _, error = spade(
        command,
        tmp_path / root,
        "--backbone",
        "tf_efficientnet_lite0",
        "--store",
        tmp_path / "store",
        *options,
    )
    last = error.splitlines()[-1]
    assert code == 2
    assert last.startswith("error: ")
    assert re.search(message, last)


def test_plan_needs_no_server_and_writes_nothing(
    finished: Path, resnet18_weights: Path, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "flows.cli.app", "plan"),
            finished.parent / "tiny", "--store", tmp_path / "store",
            "--backbone", "resnet18", "--weights", resnet18_weights, "--k-gallery", "2",
        ],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    assert ["007", "9", "9", "5"] in [row[:4] for row in rows]
    assert ["total", "18", "18", "10"] in [row[:4] for row in rows]
    assert "minutes of computing on" in done.stdout
    assert not (tmp_path / "store").exists()
    assert list(tmp_path.rglob("*.db")) == []


def test_after_the_run_the_plan_is_empty(finished: Path, resnet18_weights: Path) -> None:
    def plan(gallery: int) -> tuple[int, str, str]:
        backbone = ("--backbone", "resnet18", "--weights", resnet18_weights)
        return spade("plan", finished.parent / "tiny", "--store", finished, *backbone, "--k-gallery", gallery)

    code, out, _ = plan(2)
    assert code == 0
    assert "nothing to extract, nothing to score" in out
    code, out, _ = plan(1)
    total = next(line for line in out.splitlines() if "total" in line)
    assert (code, total.replace("│", " ").split()[:4]) == (0, ["total", "18", "0", "10"])


def test_inspect_shows_counts_and_what_is_wrong(tmp_path: Path) -> None:
    write_category(tmp_path / "data", "nut")
    (tmp_path / "data" / "nut" / "test" / "square" / "000.png").write_bytes(b"")
    (tmp_path / "data" / "nut" / "ground_truth" / "square" / "001_mask.png").unlink()
    write_image(tmp_path / "data" / "bare" / "test" / "good" / "0.png", np.zeros((5, 5), "uint8"))
    code, out, _ = spade("inspect", tmp_path / "data", "--store", tmp_path / "store")
    assert code == 0
    assert "good 2, square 2" in out
    assert "49x40 RGB (8)" in out
    assert "no usable training image" in out
    assert "set aside in nut: 1 file: nut/test/square/000.png: unreadable: the file is empty" in out
    assert "without mask in nut: 1 file: nut/test/square/001.png: no mask" in out
    assert not (tmp_path / "store").exists()


def test_a_registered_name_is_that_dataset(
    finished: Path, tmp_path: Path, resnet18_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text(
        f"""
        [datasets.parts]
        root = {str(finished.parent / "tiny")!r}
        categories = ["nut"]
        layout = {{ kind = "folders", normal = ["{{category}}/train/good/*"], train_number = 3 }}
        """
    )
    code, out, _ = spade("inspect", "parts", "--registry", registry, "--store", tmp_path / "store")
    assert code == 0
    assert "good 1" in out
    assert "007" not in out
    monkeypatch.setenv("SPADE_REGISTRY", str(registry))
    code, out, _ = spade(
        "plan", "parts", "--backbone", "resnet18", "--weights", resnet18_weights, "--store", finished
    )
    assert code == 0
    rows = [line.replace("│", " ").split()[:4] for line in out.splitlines()]
    assert ["nut", "4", "0", "1"] in rows
    code, _, error = spade("inspect", "part")
    assert (code, "'part' is no folder, and no dataset in" in error) == (2, True)
