from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torchvision

from storage.store.store import digest
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.networks.known import EFFICIENTNET_LITES, RESNETS, traits
from tasks.core.networks.levels import find_traits


def test_the_defaults_are_the_papers() -> None:
    settings = Configuration()
    assert (settings.backbone, settings.sigma, settings.metric_resolution) == ("wide_resnet50_2", 4, 256)
    assert (settings.preprocessing.resize, settings.preprocessing.crop) == (256, 224)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "wide_resnet_50_2"}, "did you mean wide_resnet50_2"),
        ({"backbone": "no network"}, "is 'no network': it is the name of a network of torchvision or timm"),
        ({"backbone": "dinov2"}, "did you mean vit_base_patch14_dinov2"),
        ({"backbone": "test_coatnet"}, "images of 160 pixels only, not of 224: name another"),
        ({"protocol": "papr"}, "did you mean paper"),
        ({"dtype": "float64"}, "did you mean float"),
        ({"precision": "half"}, "it is one of float32, bfloat16"),
        ({"protocol": "full256", "backbone": "vit_small_patch14_dinov2"}, "cannot be used here: .*256"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"sigma": float("inf")}, "sigma is inf"),
        ({"sigma": 256}, "sigma is 256.0: .* to below the metric resolution, 256"),
        ({"sigma": True}, "sigma is True"),
        ({"backbone": 18}, "backbone is 18: it is a text"),
        ({"weights": 18}, "weights is 18: it is a text"),
        ({"metric_resolution": 64.0}, "metric_resolution is 64.0: it is a whole number"),
        ({"metric_resolution": 4}, "metric_resolution is 4: it is a whole number, from 8 to 4096"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_remedy(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match="(?s)" + message.replace("(", r"\(")):
        assert Configuration(**wrong).grids


KEYS = {
    "resnet18": ("1232e26c859162d7", "e7fd036b5fe65733"),
    "resnet34": ("6a5a3b8515a319f4", "f9d0a2cc696a37ba"),
    "resnet50": ("0f4ccb600fcaca7c", "2c21c6f0e5654a63"),
    "resnet101": ("d819ef4a7c3dedb2", "e212861e38d4af8e"),
    "resnet152": ("b9022da37d7dbe75", "0dddff397fb20919"),
    "resnext50_32x4d": ("0743b0bd2c4d2df0", "13993e917791c0a3"),
    "resnext101_32x8d": ("cddb898177355b3d", "7acb4a0576af3a60"),
    "resnext101_64x4d": ("fd0730cfacdb74a7", "a674efd7d5bda13a"),
    "wide_resnet50_2": ("9af9df3c034fcf53", "0892ea840ce79367"),
    "wide_resnet101_2": ("ed9ff08cb6b17f7a", "88ceed27041b7007"),
    "tf_efficientnet_lite0": ("07fd3fcfee6d5f13", "52ee452c3c41eb37"),
}


@pytest.mark.parametrize("backbone", KEYS)
def test_features_that_are_stored_are_still_found(backbone: str) -> None:
    keys = [
        digest(Configuration(backbone=backbone, protocol=protocol).feature_description("w"))
        for protocol in ("paper", "full")
    ]
    assert tuple(keys) == KEYS[backbone]


def test_what_is_known_of_networks_without_torch_is_what_would_be_found() -> None:
    known = {name for name in torchvision.models.list_models(module=torchvision.models) if "resne" in name}
    assert set(RESNETS) == known
    for name in ("resnet18", "resnext50_32x4d", "wide_resnet50_2"):
        assert find_traits(name) == traits(name)
        assert find_traits(name, (256, 100)) == traits(name, (256, 100))
        assert find_traits(name, (256, 100), (8, 32)) == traits(name, (256, 100), (8, 32))
    for name in EFFICIENTNET_LITES:
        assert find_traits(name).grids == traits(name).grids
        assert find_traits(name, layers=(8, 16, 32)).grids == traits(name, layers=(8, 16, 32)).grids


def test_the_papers_configuration_needs_no_torch() -> None:
    code = "import sys, tasks.core.config as c; c.Configuration(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_levels_are_those_of_the_backbone() -> None:
    assert Configuration().levels == (4, 8, 16)
    assert Configuration(backbone="vit_small_patch14_dinov2").grids == {14: (16, 16, 14)}
    assert Configuration(protocol="full256").grids == {
        4: (64, 64, 4),
        8: (32, 32, 8),
        16: (16, 16, 16),
    }


def test_the_input_is_scaled_as_the_network_was_trained() -> None:
    for name, mean in (("vit_base_patch16_224", 0.5), ("efficientnet_v2_l", 0.5), ("regnet_y_400mf", 0.485)):
        assert Configuration(backbone=name).preprocessing.mean[0] == mean


def test_a_whole_number_is_the_same_setting_as_its_float() -> None:
    whole, exact = Configuration(sigma=2), Configuration(sigma=2.0)
    assert digest(whole.comparison_description()) == digest(exact.comparison_description())
    assert digest(whole.map_description()) == digest(exact.map_description())


def test_features_depend_on_what_makes_them_and_on_nothing_else() -> None:
    base = Configuration().feature_description("w")
    for other in ({"sigma": 0.0}, {"metric_resolution": 224}, {"weights": "elsewhere"}):
        assert Configuration(**other).feature_description("w") == base
    for other in (
        {"backbone": "resnet50"},
        {"protocol": "full"},
        {"protocol": "full256"},
        {"dtype": "float32"},
        {"precision": "bfloat16"},
    ):
        assert Configuration(**other).feature_description("w") != base  # type: ignore[arg-type]
    assert Configuration().feature_description("v") != base


def test_every_setting_but_the_weights_file_counts_in_a_comparison() -> None:
    assert Configuration(weights="elsewhere").comparison_description() == (
        Configuration().comparison_description()
    )
    assert Configuration().comparison_description().keys() == Configuration().values().keys()


def test_maps_depend_on_what_is_done_to_them() -> None:
    assert Configuration(sigma=1, metric_resolution=224, backbone="resnet18").map_description() == {
        "sigma": 1.0,
        "metric_resolution": 224,
    }


def test_features_depend_on_named_layers_in_the_networks_order() -> None:
    named = Configuration(backbone="test_vit", layers=("blocks.4", "blocks.1+norm"))
    assert named.levels == ("blocks.1+norm", "blocks.4")
    turned = Configuration(backbone="test_vit", layers=("blocks.1+norm", "blocks.4"))
    assert named.feature_description("w") == turned.feature_description("w")
    assert named.feature_description("w") != Configuration(backbone="test_vit").feature_description("w")
    every = Configuration(layers=("4", 16, "8"))
    assert every.feature_description("w") == Configuration().feature_description("w")
