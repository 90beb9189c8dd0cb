from __future__ import annotations

from pathlib import Path

import pytest

from storage.datasets.registry import Registry, read_registry
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.methods.presets import PRESETS
from tasks.methods.recipes import Recipe, registered_recipes


def registry(folder: Path, settings: str) -> Registry:
    path = folder / "datasets.toml"
    path.write_text(
        f"[datasets.parts]\nroot = '.'\nconfigurations = ['one']\n[configurations.one]\n{settings}"
    )
    return read_registry(path)


def test_a_table_becomes_a_configuration(tmp_path: Path) -> None:
    found = registry(tmp_path, "backbone = 'resnet18'\nlevels = [16, 8]\nsigma = 2")
    assert registered_recipes(found, "parts") == {
        "one": Recipe(Configuration(backbone="resnet18", levels=(8, 16), sigma=2.0), ("spade",))
    }


def test_a_preset_is_what_a_table_says_no_other_of(tmp_path: Path) -> None:
    settings = "preset = 'best'\nbackbone = 'resnet18'\n"
    best = PRESETS["best"]
    found = registered_recipes(registry(tmp_path, settings), "parts")["one"]
    assert found == Recipe(Configuration(**{**best.settings, "backbone": "resnet18"}), best.methods)
    settings += "methods = ['spade', 'dn2(k=2)']"
    found = registered_recipes(registry(tmp_path, settings), "parts")["one"]
    assert found.methods == ("spade", "dn2")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("kapa = 2", "kapa is no setting: did you mean kappa"),
        ("kappa = 0", "kappa is 0: it is a whole number"),
        ("levels = 8", "levels is 8: Input should be a valid tuple"),
        ("preset = 'bset'", "preset is 'bset': it is one of best"),
        ("methods = ['dn3']", "method is 'dn3': it is one of dn2"),
        ("methods = 'dn2'", "methods is 'dn2': it is a list of names"),
        ("backbone = 'resnet51'", "backbone is 'resnet51': did you mean .*resnet50"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(tmp_path: Path, settings: str, message: str) -> None:
    place = rf"{tmp_path}/datasets.toml, dataset 'parts', configuration 'one': .*{message}"
    with pytest.raises(ConfigurationError, match=place):
        registered_recipes(registry(tmp_path, settings), "parts")


def test_the_shipped_configuration_is_the_papers_with_another_backbone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPADE_DATA", "/data")
    shipped = read_registry(Path(__file__).parents[3] / "deployments" / "datasets.toml")
    for name in shipped.entries:
        found = registered_recipes(shipped, name)
        assert found == {"lite0": Recipe(Configuration(backbone="tf_efficientnet_lite0"), ("spade",))}
