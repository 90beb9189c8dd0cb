from __future__ import annotations

from pathlib import Path

import pytest

from storage.datasets.registry import Registry, read_registry
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.spade import Spade
from tasks.methods.recipes import Recipe, recipe, registered_recipes


def registry(folder: Path, settings: str) -> Registry:
    path = folder / "datasets.toml"
    path.write_text(
        f"[datasets.parts]\nroot = '.'\nconfigurations = ['one']\n[configurations.one]\n{settings}"
    )
    return read_registry(path)


def test_settings_are_those_of_all_methods_or_of_spade_wherever_it_is() -> None:
    settings = {"backbone": "resnet18", "sigma": 2, "k_image": 3, "levels": [16, 8]}
    shared = Configuration(backbone="resnet18", sigma=2.0)
    spade = Spade(k_image=3, levels=(8, 16))
    assert recipe(settings) == Recipe(shared, (spade,))
    assert recipe(settings, ("ensemble",)) == Recipe(shared, (Ensemble(methods=(spade, PatchCore())),))
    (fast,) = recipe({"backbone": "resnet18", "k_image": 3}, name="fast").methods
    assert fast == Spade(k_image=3, levels=(8, 16, 32), window=3, distance="euclidean", image_rule="map")
    methods = ("dn2", "spade(k_image=7)", "ensemble(methods=('dn2', 'spade'))")
    assert recipe(settings, methods).methods == (
        DN2(),
        Spade(k_image=7, levels=(8, 16)),
        Ensemble(methods=(DN2(), spade)),
    )


def test_without_anything_it_is_the_papers() -> None:
    assert recipe({}) == Recipe(Configuration(), (Spade(),))


@pytest.mark.parametrize(
    ("settings", "methods", "message"),
    [
        ({"k_imag": 3}, (), "k_imag is no setting: did you mean k_image"),
        ({"share": 0.1}, ("patchcore",), "share is no setting"),
        ({"k_image": 3}, ("dn2",), r"k_image is a setting of spade, which is not among the methods \(dn2\)"),
        ({"k_image": 0}, (), "k_image is 0"),
        ({"kappa": 197, "fusion": "average"}, (), "kappa is 197: it is a whole number, from 1 to 196"),
        ({"backbone": "vit_small_patch14_dinov2"}, ("padim",), r"--method 'padim\(levels=\(14,\)\)'"),
        ({"sigma": "4"}, (), "sigma is '4'"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, object], methods: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        recipe(settings, methods)


def test_a_table_becomes_a_configuration(tmp_path: Path) -> None:
    found = registry(tmp_path, "backbone = 'resnet18'\nlevels = [16, 8]\nsigma = 2")
    assert registered_recipes(found, "parts") == {
        "one": Recipe(Configuration(backbone="resnet18", sigma=2.0), (Spade(levels=(8, 16)),))
    }


def test_a_preset_is_what_a_table_says_no_other_of(tmp_path: Path) -> None:
    settings = "preset = 'best'\nbackbone = 'resnet18'\n"
    found = registered_recipes(registry(tmp_path, settings), "parts")["one"]
    assert found == recipe({"backbone": "resnet18"}, name="best")
    settings += "methods = ['spade', 'dn2(k=2)']"
    found = registered_recipes(registry(tmp_path, settings), "parts")["one"]
    assert found.methods == (Spade(), DN2())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("kapa = 2", "kapa is no setting: did you mean kappa"),
        ("kappa = 0", "kappa is 0: it is a whole number"),
        ("levels = 8", "levels is 8: it is a list"),
        ("levels = [4, 8.0]", r"levels is \(4, 8\.0\): name strides"),
        ("weights = 8", "weights is 8: it is a text"),
        ("preset = 'bset'", "preset is 'bset': did you mean best"),
        ("preset = ['best']", r"preset is \['best'\]: .*it is one of paper, best"),
        ("methods = ['dn3']", "method is 'dn3': did you mean dn2"),
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
        assert found == {"lite0": Recipe(Configuration(backbone="tf_efficientnet_lite0"), (Spade(),))}
