from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from command import spade

from flows.cli.app import COMMANDS, app


def test_the_help_names_every_command_with_its_first_sentence() -> None:
    assert {name for name in app if not name.startswith("-")} == {*COMMANDS}
    code, out, error = spade("--help")
    assert (code, error) == (0, "")
    for name in COMMANDS:
        assert f"│ {name} " in out
    assert spade() == (code, out, error)
    assert "Score and evaluate a dataset" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    code, out, error = spade(name, "--help")
    assert (code, error) == (0, "")
    assert out.startswith(f"Usage: spade {name}")
    assert "--store STR" in out or name in ("backbones", "datasets", "add")


def test_the_version_is_that_of_the_package() -> None:
    assert spade("--version") == (0, f"{version('spade-anomaly')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluat"], 'Unknown command "evaluat". Did you mean "evaluate"?'),
        (["evaluate"], "parameter DATASET requires an argument"),
        (["evaluate", "data", "more"], "Unused Tokens: ['more']"),
        (["evaluate", "data", "--kapa", "1"], "Unknown option: --kapa. Did you mean --kappa?"),
        (["evaluate", "data", "--class", "1"], "Unknown option: --class."),
        (
            ["evaluate", "data", "--kappa", "one"],
            'Invalid value for --kappa: unable to convert "one" into int.',
        ),
        (["evaluate", "data", "--kappa"], "parameter --kappa requires an argument"),
        (["evaluate", "data", "--kappa", "1", "--kappa", "2"], "--kappa specified multiple times"),
        (["results", "--table", "run"], 'Invalid value "run" for --table. Choose from: "runs"'),
        (["results", "--format", "xml"], 'Invalid value "xml" for --format. Choose from: "table"'),
        (["nightly", "--parallel", "0"], 'Invalid value "0" for --parallel. Must be >= 1.'),
        (["compare", "--tolerance", "-1"], "for --tolerance. Must be >= 0."),
    ],
)
def test_what_is_wrong_in_a_command_is_one_line(arguments: list[str], message: str) -> None:
    code, out, error = spade(*arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("error: ")
    assert message in error


def test_an_interruption_is_one_line(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("storage.repair.repair", interrupted)
    code, out, error = spade("repair", "--store", finished)
    assert (code, out, error) == (130, "", "interrupted; the same command goes on from here\n")


def test_the_environment_names_store_and_registry(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPADE_STORE", str(finished))
    assert spade("repair") == (0, "all whole\n", "")
    assert "no store at" in spade("repair", "--store", tmp_path / "other")[2]
    monkeypatch.setenv("SPADE_REGISTRY", str(tmp_path / "absent.toml"))
    assert "absent.toml" in spade("reprocess", "drawn")[2]
