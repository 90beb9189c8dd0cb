"""Every command on every method, preset and gallery: it works, or refuses in one sentence.

Methods, presets and commands are those of their registries: a new one that is not tried here fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import spade
from tiny import write_category

from flows.cli.app import COMMANDS
from flows.evaluate import evaluate
from storage.results import Results
from storage.results.schemas import TABLES, THRESHOLD_RULES
from tasks.core.config import EVALUATED_AREA, Configuration
from tasks.core.methods.registry import METHODS, parse_method
from tasks.core.methods.spade import Spade
from tasks.core.networks.levels import make_network
from tasks.methods.presets import PRESETS

SPADE = "spade(k_image=3, k_gallery=2)"
LABELS = tuple(
    parse_method(text).label
    for text in (
        SPADE,
        "spade(gallery='random', fusion='average', k_image=3, k_gallery=2)",
        "spade(levels=(8, 16), average=3, normalization='levels', window=2, image_rule='patches')",
        "rad(k_gallery=2, image_rule='unrestricted')",
        "anomalydino",
        "anomalydino(levels=(16,), foreground='component')",
        "dn2",
        "nearest_neighbor(limit=300)",
        "one_class_svm(limit=100)",
        "padim(levels=(8, 16), dimensions=5)",
        "patchcore(dimension=16, projection=8)",
        f"ensemble(methods=('dn2', '{SPADE}', 'patchcore(dimension=16, projection=8)'))",
        "ensemble(methods=('spade(window=3)', 'spade(average=3)'), scale='median')",
        "ensemble(methods=('padim(levels=(8, 16), dimensions=5)', 'dn2'), rule='ranks')",
    )
)
Runs = tuple[Path, list[object]]


@pytest.fixture(scope="module")
def folder(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A dataset of two categories, and a store with a run of all methods that was done twice."""
    folder = tmp_path_factory.mktemp("crossings")
    write_category(folder / "data", "nut", train=5)
    write_category(folder / "data", "bolt", train=5, side=33, seed=3)
    for run in ("all", "again"):
        configuration = settings(fpr=0.25)
        evaluate(str(folder / "data"), str(folder / "store"), configuration, run_id=run, methods=LABELS)
    return folder


@pytest.fixture(scope="module")
def options(folder: Path, resnet18_weights: Path) -> list[object]:
    """What the command line needs to mean the same run."""
    settings = ["--backbone", "resnet18", "--weights", resnet18_weights, "--metric-resolution", 64]
    return [*settings, "--fpr", 0.25, "--sigma", 1.0, "--dtype", "float32", "--store", folder / "store"]


def at(folder: Path, *more: object) -> list[object]:
    return ["--store", folder / "store", *more]


def has_spade(label: str) -> bool:
    return any(isinstance(member, Spade) for member in parse_method(label).members)


def evaluates(folder: Path, options: list[object], label: str) -> None:
    code, out, error = spade("evaluate", folder / "data", *options, "--method", label)
    assert (code, error) == (0, "")
    assert "average" in out


def plans(folder: Path, options: list[object], label: str) -> None:
    code, out, _ = spade("plan", folder / "data", *options, "--method", label)
    assert code == 0
    assert "nothing to extract, nothing to score" in out


def sweeps(folder: Path, options: list[object], label: str) -> None:
    sweep = ["sweep", folder / "data", *options[:-4], *options[-4:], "--method", label]
    position = sweep.index("--sigma")
    del sweep[position : position + 2]
    code, _, error = spade(*sweep, "--sigma", 1, "--sigma", 2)
    assert code == 0, error
    code, _, error = spade(*sweep, "--k", 1, "--k", 2)
    if has_spade(label):
        assert code == 0, error
    else:
        assert code == 2
        assert "axis is 'k': it is a setting of spade, which is not among the methods" in error
        assert len(error.splitlines()) == 1


def withstands(folder: Path, options: list[object], label: str) -> None:
    run = f"robust-{LABELS.index(label)}"
    few = ("--category", "nut", "--corruption", "noise", "--corruption", "scale", "--severity", 4)
    command = ["robustness", folder / "data", *options, "--method", label, *few, "--run-id", run]
    code, out, error = spade(*command)
    assert (code, error) == (0, "")
    assert "noise" in out
    rows = Results(folder / "store").rows("robustness", run, label)
    rules = {*THRESHOLD_RULES} if parse_method(label).has_map else {"embedding"}
    assert {(row["corruption"], row["rule"]) for row in rows} == {
        (name, rule) for name in ("none", "noise", "scale") for rule in rules
    }
    for row in rows:
        if "rule='ranks'" in label:
            assert "one image has no rank" in row["reason"]
        else:
            assert 0 <= row["rocauc"] <= 1
            assert 0 <= row["false_alarm_rate"] <= 1
    for table in (["--table", "robustness"], ["--convention", "rd4ad"]):
        code, out, error = spade("results", *at(folder, "--run", run, "--format", "json", *table))
        assert (code, error) == (0, "")
        assert label.replace('"', '\\"') in out
    code, _, error = spade("report", run, *at(folder, "--output", folder / "pages" / run))
    assert code == 0, error
    page = (folder / "pages" / run / "robustness.html").read_text()
    assert page.count("<figure>") == 2


def shows_results(folder: Path, _options: list[object], label: str) -> None:
    for table in set(TABLES) - {"reproduction", "manifest", "stages", "changes"}:
        name = [] if table == "runs" else ["--run", "all"]
        code, out, error = spade("results", *at(folder, "--table", table, "--format", "json", *name))
        assert (code, error) == (0, "")
        if table in ("categories", "summary", "images"):
            assert label.replace('"', '\\"') in out
    results = Results(folder / "store")
    points = {row["rule"]: row for row in results.rows("operating", "all", label)}
    assert points.keys() == ({*THRESHOLD_RULES} if parse_method(label).has_map else {"embedding"})
    for row in points.values():
        if "rule='ranks'" in label:
            assert "one image has no rank" in row["reason"]
        else:
            assert 0 <= row["false_alarm_rate_low"] <= row["false_alarm_rate"] <= row["false_alarm_rate_high"]
            assert row["missed"] + row["anomalous"] > 0
    history = results.history("image_rocauc_embedding", method=label)
    assert set(history["run"]) >= {"all", "again"}
    rows = results.rows("images", "all", label)
    if parse_method(label).has_map:
        assert results.anomaly_map("all", rows[0]["image_id"], label).shape == (64, 64)


def asks(folder: Path, _options: list[object], label: str) -> None:
    told = {name for name, (schema, _) in TABLES.items() if "method" in schema.names}
    for table in told - {"stages", "reproduction"}:
        method = label.replace("'", "''")
        query = f"select count(*) as rows from {table} where run = 'all' and method = '{method}'"
        code, out, error = spade("sql", query, *at(folder, "--format", "json"))
        assert (code, error) == (0, "")
        expected = len(Results(folder / "store").rows(table, "all", label))
        assert out.split() == ["[", "{", '"rows":', str(expected), "}", "]"]


def reports(folder: Path, _options: list[object], label: str) -> None:
    pages = folder / "pages" / str(LABELS.index(label))
    code, _, error = spade("report", "again", *at(folder, "--method", label, "--output", pages))
    assert code == 0, error
    assert len(list(pages.rglob("*.html"))) > 10


def exports(folder: Path, _options: list[object], label: str) -> None:
    target = folder / "maps" / str(LABELS.index(label))
    code, _, error = spade("export", target, *at(folder, "--run", "all", "--method", label))
    if parse_method(label).has_map:
        assert code == 0, error
        assert len(list(target.rglob("*.tif"))) == 10
    else:
        assert code == 2
        assert "no anomaly map by" in error
        assert len(error.splitlines()) == 1


def exports_regions(folder: Path, _options: list[object], label: str) -> None:
    for format, name in (("coco", "regions.json"), ("jsonl", "regions.jsonl")):
        target = folder / "regions" / str(LABELS.index(label))
        code, _, error = spade(
            *("export", target), *at(folder, "--run", "all", "--method", label, "--format", format)
        )
        if not parse_method(label).has_map or "rule='ranks'" in label:
            assert code == 2
            assert "no anomaly map by" in error or "one image has no rank" in error
            assert len(error.splitlines()) == 1
        else:
            assert code == 0, error
            assert (target / name).stat().st_size > 10


def scores(folder: Path, _options: list[object], label: str) -> None:
    image = folder / "data" / "nut" / "test" / "square" / "000.png"
    common = at(folder, "--run", "all", "--method", label, "--category", "nut", "--fpr", 0.25)
    for rule in ("embedding", "map"):
        code, out, error = spade("score", image, *common, "--rule", rule, "--output", folder / "found")
        method = parse_method(label)
        if "rule='ranks'" in label:
            assert code == 2
            assert "one image has no rank" in error
        elif rule == "map" and not method.has_map:
            assert code == 2
            assert "scores whole images, without a map: use embedding" in error
        else:
            assert code == 0, error
            assert "anomalous" in out or "normal" in out
            assert ("heat.png" in out) == method.has_map


def compares(folder: Path, _options: list[object], label: str) -> None:
    code, _, error = spade("compare", "again", "all", *at(folder, "--format", "json"))
    assert (code, error) == (0, "")
    rows = [row for row in Results(folder / "store").rows("comparisons", "again") if row["method"] == label]
    assert {row["verdict"] for row in rows} <= {"same", "not comparable"}
    assert any(row["verdict"] == "same" for row in rows)
    assert all(row["reason"] for row in rows if row["verdict"] == "not comparable")


def compares_methods(folder: Path, _options: list[object], label: str) -> None:
    code, out, error = spade("methods", "all", *at(folder, "--format", "json", "--plot", folder / "plot.svg"))
    assert (code, error) == (0, "")
    assert label in out


CROSSED: dict[str, Callable[[Path, list[Any], str], None]] = {
    "evaluate": evaluates,
    "plan": plans,
    "sweep": sweeps,
    "robustness": withstands,
    "results": shows_results,
    "report": reports,
    "export": exports,
    "export --format": exports_regions,
    "score": scores,
    "sql": asks,
    "compare": compares,
    "methods": compares_methods,
}
ELSEWHERE = {  # commands that take no method, or run those above, with the tests that they have
    *("inspect", "datasets", "add", "backbones", "repair", "accept", "demo", "reproduce"),
    *("nightly", "reprocess", "serve", "usage", "prune", "pin"),
}


def test_every_method_preset_and_command_is_tried() -> None:
    assert {parse_method(label).name for label in LABELS} == METHODS.keys()
    assert {name.split()[0] for name in CROSSED} | ELSEWHERE == set(COMMANDS)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("command", CROSSED)
def test_every_command_on_every_method(command: str, label: str, folder: Path, options: list[object]) -> None:
    CROSSED[command](folder, options, label)


@pytest.fixture(scope="module")
def networks(
    resnet18_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, object]]:
    """The settings of a small network that a preset can be tried with: a transformer where it names one."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vit") / "vit.pth"
    torch.save(make_network("vit_tiny_patch16_224").state_dict(), path)

    def chosen(preset: str) -> dict[str, object]:
        named = PRESETS[preset].settings
        if "backbone" in named:
            sizes = {name: "64" for name in ("resize", "crop", "input") if name in named}
            return {"backbone": "vit_tiny_patch16_224", "weights": path, **sizes}
        return {"backbone": "resnet18", "weights": resnet18_weights}

    return chosen


@pytest.fixture(scope="module", params=PRESETS)
def of_preset(
    request: pytest.FixtureRequest,
    folder: Path,
    options: list[object],
    networks: Callable[[str], dict[str, object]],
) -> str:
    """A run by each preset, with the settings of SPADE that fit the tiny dataset."""
    run = f"preset-{request.param}"
    network = [part for name, value in networks(request.param).items() for part in (f"--{name}", value)]
    code, _, error = spade(
        *("robustness", folder / "data", *network, *options[4:], "--preset", request.param, "--run-id", run),
        *("--k-image", 3, "--k-gallery", 2, "--corruption", "blur", "--severity", 3),
    )
    assert code == 0, error
    return run


def test_every_command_on_every_preset(of_preset: str, folder: Path) -> None:
    try_every_command(of_preset, folder)


def try_every_command(run: str, folder: Path) -> None:
    """Each command that reads a run, on this one; a new image is one of its own with a byte more."""
    results = Results(folder / "store")
    image = next(row for row in results.rows("images", run) if row["category"] == "nut")["image_id"]
    assert np.isfinite(results.anomaly_map(run, image)).all()
    new = folder / "new.png"
    new.write_bytes((folder / "data" / image).read_bytes() + b"other")
    for arguments in (
        ("report", run, "--output", folder / "pages" / run),
        ("export", folder / "maps" / run, "--run", run),
        *(
            ("score", path, "--run", run, "--category", "nut", "--fpr", 0.25)
            for path in (folder / "data" / image, new)
        ),
        ("compare", run),
        ("methods", run),
        *(("results", "--run", run, "--table", name) for name in ("categories", "images", "neighbors")),
    ):
        code, _, error = spade(*arguments, "--store", folder / "store")
        assert code == 0, error


INPUTS: dict[str, dict[str, Any]] = {  # of a transformer, whose levels are of one stride
    "blocks": {"input": "64x96", "layers": ["blocks.1", "blocks.3", "blocks.3+norm", "blocks.5+norm"]},
    "crop": {"protocol": "full", "resize": 64, "aspect": "crop", "layers": ["blocks.3+norm"]},
    "pad": {"resize": 56, "crop": "64x80", "aspect": "pad"},
    "tiles": {"input": "64x96", "tile": 48, "overlap": 16, "layers": ["blocks.2", "blocks.4+norm"]},
}
GEOMETRY = {*EVALUATED_AREA, "tile", "overlap", "layers"} - {"protocol"}


@pytest.fixture(scope="module")
def transformer_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of seeded random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "test_vit.pth"
    torch.save(make_network("test_vit").state_dict(), path)
    return path


def test_every_setting_of_inputs_is_tried() -> None:
    assert set().union(*INPUTS.values()) >= GEOMETRY


@pytest.mark.parametrize("name", INPUTS)
def test_every_command_on_every_kind_of_input(name: str, folder: Path, transformer_weights: Path) -> None:
    chosen = {"backbone": "test_vit", "weights": transformer_weights, "metric_resolution": 64, "sigma": 1.0}
    options: list[object] = []
    for key, value in (chosen | INPUTS[name]).items():
        option = f"--{key.removesuffix('s') if isinstance(value, list) else key}".replace("_", "-")
        options += [part for one in (value if isinstance(value, list) else [value]) for part in (option, one)]
    methods = [SPADE, "spade(fusion='average', k_image=3, k_gallery=2)"]
    if len(INPUTS[name].get("layers", ())) < 2:
        methods += ["patchcore(levels=(16,), dimension=16, projection=8)", "nearest_neighbor(level=16)"]
    named = [part for method in methods for part in ("--method", method)]
    evaluated = (
        "evaluate",
        folder / "data",
        *options,
        *named,
        "--category",
        "nut",
        "--store",
        folder / "store",
    )
    worse = ("--corruption", "rotation", "--severity", 2, "--fpr", 0.25)
    code, _, error = spade("robustness", *evaluated[1:], *worse, "--run-id", name)
    assert code == 0, error
    rows = Results(folder / "store").rows("robustness", name)
    assert {row["corruption"] for row in rows} == {"none", "rotation"}
    assert all(row["rocauc"] is not None and row["missed"] is not None for row in rows)
    code, out, _ = spade("plan", *evaluated[1:])
    assert code == 0
    assert "nothing to extract, nothing to score" in out
    try_every_command(name, folder)


def test_a_night_of_every_preset_is_gated(folder: Path, networks: Callable[[str], dict[str, object]]) -> None:
    registry = folder / "datasets.toml"
    tables = [
        f'[configurations.{name}]\npreset = "{name}"\nmetric_resolution = 64\nk_image = 3\nk_gallery = 2\n'
        + "".join(f'{setting} = "{value}"\n' for setting, value in networks(name).items())
        for name in PRESETS
    ]
    names = ", ".join(f'"{name}"' for name in PRESETS)
    tables.append(f'[datasets.tiny]\nroot = "{folder / "data"}"\nconfigurations = [{names}]\n')
    registry.write_text("\n".join(tables))
    for verdict in ("new", "same"):
        code, out, error = spade("nightly", "--registry", registry, "--store", folder / "night")
        assert code == 0, error
        assert out.count(verdict) >= len(PRESETS)
    run = Results(folder / "night").runs()["run"].iloc[-1]
    assert {row["verdict"] for row in Results(folder / "night").rows("comparisons", run)} == {"same"}
