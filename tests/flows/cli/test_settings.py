from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command import spade
from tiny import write_category

from tasks.core.config import Configuration
from tasks.core.grid import AXES, K, Point
from tasks.core.methods.registry import METHODS
from tasks.core.methods.spade import Spade
from tasks.core.settings import Setting, declarations
from tasks.job import Request
from tasks.methods import presets
from tasks.methods.presets import PRESETS, Preset
from tasks.run.plan import Plan

ONCE = {
    "levels": "level",
    "layers": "layer",
}  # a setting of many values is an option in the singular, where it is repeatable


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # an option a line


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Request]:
    """What `spade plan` was asked for; it plans nothing."""
    write_category(tmp_path / "tiny", "nut", train=1, normal=1, anomalous=1)
    requests: list[Request] = []

    def plan(request: Request) -> Plan:
        requests.append(request)
        return Plan((), "cpu")

    monkeypatch.setattr("tasks.run.plan.plan", plan)
    return requests


def settings() -> Iterator[tuple[str, Setting, Any]]:
    for kind in (Configuration, Spade):
        yield from declarations(kind)


def lines(command: str) -> dict[str, str]:
    """The help of each option of a command."""
    shown = (line.strip("│ \n") for line in spade(command, "--help")[1].splitlines())
    return {line.split()[0]: line for line in shown if line.startswith("--")}


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@pytest.mark.parametrize("command", ["evaluate", "plan"])
def test_every_setting_is_an_option_with_its_help_choices_and_default(command: str) -> None:
    shown = lines(command)
    for name, declared, default in settings():
        line = shown[option(ONCE.get(name, name))]
        assert declared.help in line
        for choice in declared.choices:
            assert choice in line.partition("[choices: ")[2]
        assert (f"[default: {default}]" in line) == (default not in (None, ()))


def test_every_axis_and_every_other_setting_is_an_option_of_sweep() -> None:
    shown = lines("sweep")
    helps = {name: declared.help for name, declared, _ in settings()}
    for name in AXES:
        assert "repeatable" in shown[option(name)]
        assert helps.get(name, "both of --k-image and --k-gallery") in shown[option(name)]
    for name in helps.keys() - {*AXES}:
        assert ("repeatable" in shown[option(ONCE.get(name, name))]) == (name in ONCE)
    options = {ONCE.get(name, name) for name in helps.keys() - {*AXES}}
    assert {name.strip("-").replace("-", "_") for name in shown} >= {*AXES, *options}


@pytest.mark.parametrize("command", ["evaluate", "plan", "sweep"])
def test_methods_and_presets_are_named(command: str) -> None:
    shown = lines(command)
    assert all(name in shown["--method"] for name in METHODS)
    assert all(name in shown["--preset"] for name in PRESETS)


def test_plan_takes_what_evaluate_takes_but_for_the_run() -> None:
    options = {name: lines(name) for name in ("evaluate", "plan")}
    of_a_run = {"--memory", "--run-id", "--verbose", "--verify"}
    assert options["evaluate"].keys() - options["plan"].keys() == of_a_run
    assert all(options["evaluate"][name].split() == line.split() for name, line in options["plan"].items())


def test_a_preset_gives_the_settings_and_methods_that_are_not_named(
    tmp_path: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Preset({"kappa": 3, "sigma": 2.0}, ("dn2", "spade"))
    monkeypatch.setattr(presets, "PRESETS", {"paper": Preset(), "best": given})
    options = [
        "plan",
        tmp_path / "tiny",
        "--store",
        tmp_path / "store",
        "--backbone",
        "tf_efficientnet_lite0",
    ]
    for more in (
        ["--preset", "best"],
        ["--preset", "best", "--sigma", 4, "--kappa", 2],
        ["--preset", "best", "--method", "spade(k_image=1)"],
        ["--level", 16, "--level", 8],
        [],
    ):
        assert spade(*options, *more)[0] == 0
    found = [
        (each.configuration.sigma, [method.label for method in each.methods], each.methods[-1])
        for each in asked
    ]
    assert [(sigma, methods) for sigma, methods, _ in found] == [
        (2.0, ["dn2", "spade(kappa=3)"]),
        (4.0, ["dn2", "spade(kappa=2)"]),
        (2.0, ["spade(kappa=3, k_image=1)"]),
        (4.0, ["spade(levels=(8, 16))"]),
        (4.0, ["spade"]),
    ]
    code, _, error = spade(*options, "--preset", "bset")
    assert (code, "preset is 'bset': did you mean best? it is one of paper, best" in error) == (2, True)


def test_preset_and_methods_of_a_sweep_are_those_of_its_grid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points: list[Point] = []

    def grid(base: Point, axes: Mapping[str, object]) -> None:
        assert axes == {"sigma": [1.0]}
        points.append(base)

    monkeypatch.setattr("tasks.core.grid.grid", grid)
    monkeypatch.setattr(presets, "PRESETS", {"paper": Preset(), "best": Preset({}, ("ensemble",))})
    for more in (["--preset", "best"], ["--method", "padim", "--method", "dn2"]):
        spade("sweep", tmp_path / "absent", "--sigma", 1, *more)
    assert [[method.name for method in point.methods] for point in points] == [["ensemble"], ["padim", "dn2"]]


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            "evaluate",
            ["--k-image", 3],
            "k_image is a setting of spade, which is not among the methods (padim)",
        ),
        ("plan", ["--k-image", 3], "k_image is a setting of spade, which is not among the methods (padim)"),
        (
            "sweep",
            ["--k-image", 3],
            "axis is 'k_image': it is a setting of spade, which is not among the methods",
        ),
        (
            "sweep",
            [f"--{K}", 3],
            "axis is 'k': it is a setting of spade, which is not among the methods (padim)",
        ),
    ],
)
def test_a_setting_of_spade_without_spade_is_refused(
    command: str, arguments: list[object], message: str, tmp_path: Path
) -> None:
    code, out, error = spade(
        command, tmp_path, "--store", tmp_path / "store", "--method", "padim", *arguments
    )
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert f"error: {message}" in error
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("command", ["evaluate", "plan", "sweep"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gallery", "farthest"], "gallery is 'farthest': did you mean nearest"),
        (["--backbone", "resnet51"], "backbone is 'resnet51': did you mean resnet51q, resnet50"),
        (["--k-gallery", "0"], "k_gallery is 0"),
        (["--kappa", "0"], "kappa is 0"),
        (["--sigma", "-2"], "sigma is -2.0"),
        (["--fusion", "mean"], "fusion is 'mean'"),
        (["--method", "padin"], "method is 'padin': did you mean padim"),
        (["--method", "dn2(k=0)"], "k is 0"),
    ],
)
def test_a_wrong_setting_is_one_line_before_anything_is_computed(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    one_line_of_error(command, arguments, message, tmp_path)


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("evaluate", ["--level", "7"], "level is 7: the network has 4, 8, 16"),
        ("plan", ["--level", "7"], "level is 7: the network has 4, 8, 16"),
        ("sweep", ["--levels", "4,7"], "level is 7: the network has 4, 8, 16"),
        ("sweep", ["--levels", "4 8"], "level is '4 8': the network has 4, 8, 16"),
        ("sweep", ["--k", "1", "--k-image", "2"], "k is k_image and k_gallery together"),
        (
            "sweep",
            ["--kappa", "1", "--kappa", "200", "--levels", "16"],
            "levels (16,), kappa 200)",
        ),
    ],
)
def test_a_wrong_level_or_grid_is_one_line_before_anything_is_loaded(
    command: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    one_line_of_error(command, arguments, message, tmp_path)


def one_line_of_error(command: str, arguments: list[str], message: str, tmp_path: Path) -> None:
    code, out, error = spade(command, tmp_path, "--store", tmp_path / "store", *arguments)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error
    assert not (tmp_path / "store").exists()
