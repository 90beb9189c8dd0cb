from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import spade


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy whose run was done once more, months later."""
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    shutil.copytree(copy / "runs" / "one", copy / "runs" / "two")
    shutil.rmtree(copy / "index")
    return copy


def test_what_takes_space_is_told_file_by_file(store: Path) -> None:
    files = [path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock"]
    code, text, error = spade("usage", "--store", store, "--format", "json")
    rows = json.loads(text)
    assert (code, error) == (0, "")
    assert sum(row["bytes"] for row in rows) == sum(path.stat().st_size for path in files)
    assert {row["backbone"] for row in rows if row["kind"] in ("features", "scores")} == {"resnet18"}
    code, text, _ = spade("usage", "--store", store)
    assert (code, "may go, MiB" in text) == (0, True)


def test_a_prune_says_what_goes_and_removes_nothing_that_is_kept(store: Path) -> None:
    code, text, _ = spade("prune", "--store", store)
    assert (code, "nothing may go" in text) == (0, True)
    assert "[retention] 14 nights, 8 weeks, 12 months, 30 days" in text
    code, text, _ = spade("prune", "--apply", "--store", store, "--format", "json")
    assert (code, json.loads(text)) == (0, [])


def test_a_run_is_pinned_with_a_reason_and_let_go(store: Path) -> None:
    code, text, _ = spade("pin", "one", "--why", "of the paper", "--store", store)
    assert (code, text) == (0, "one and all that it needs is kept: of the paper\n")
    code, text, _ = spade("prune", "--store", store)
    assert (code, "1 pinned: of the paper" in text) == (0, True)
    code, text, _ = spade("pin", "one", "--remove", "--store", store)
    assert (code, text) == (0, "one is pinned no longer\n")
    for words, wrong in (
        (["one"], "say --why the run is pinned, or --remove its pin"),
        (["one", "--remove"], "is not pinned"),
        (["three", "--why", "it"], "no finished run 'three'"),
    ):
        code, _, error = spade("pin", *words, "--store", store)
        assert (code, wrong in error) == (2, True)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("nights = 0", "retention: nights is 0: it is 1 or more"),
        ("years = 1", "retention: years is no setting: did you mean"),
    ],
)
def test_a_policy_that_cannot_be_is_named(store: Path, tmp_path: Path, line: str, wrong: str) -> None:
    registry = tmp_path / "datasets.toml"
    registry.write_text(f"[retention]\n{line}\n")
    code, _, error = spade("prune", "--store", store, "--registry", registry)
    assert (code, wrong in error) == (2, True)
