from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torchvision

from storage.store.store import digest
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.networks.traits import EFFICIENTNET_LITE0, RESNETS, traits
from tasks.core.networks.levels import find_traits


def test_the_defaults_are_the_papers() -> None:
    settings = Configuration()
    assert (settings.backbone, settings.k_image, settings.k_gallery, settings.kappa) == (
        "wide_resnet50_2",
        50,
        50,
        1,
    )
    assert (settings.fusion, settings.distance, settings.sigma) == ("concatenate", "squared", 4)
    assert (settings.preprocessing.resize, settings.preprocessing.crop) == (256, 224)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"backbone": "wide_resnet_50_2"}, "did you mean wide_resnet50_2"),
        ({"backbone": "no network"}, "is 'no network': it is the name of a network of torchvision or timm"),
        ({"backbone": "dinov2"}, "did you mean vit_base_patch14_dinov2"),
        ({"backbone": "test_coatnet"}, "images of 160 pixels only, not of 224: name another"),
        ({"fusion": "concat"}, "did you mean concatenate"),
        ({"upsampling": "bicubic"}, "upsampling is 'bicubic'"),
        ({"gallery": "far"}, "it is one of nearest, random"),
        ({"gallery_seed": -1}, "gallery_seed is -1"),
        ({"distance": "l2"}, "squared, euclidean"),
        ({"protocol": "papr"}, "did you mean paper"),
        ({"dtype": "float64"}, "did you mean float"),
        ({"precision": "half"}, "it is one of float32, bfloat16"),
        ({"levels": (4, 32)}, "level is 32: wide_resnet50_2 has 4, 8, 16"),
        ({"levels": (6,)}, "level is 6"),
        ({"levels": (4,), "backbone": "vit_small_patch14_dinov2"}, "level is 4: .*dinov2 has 14"),
        ({"kappa": 257, "backbone": "vit_small_patch14_dinov2"}, "from 1 to 256"),
        ({"protocol": "full256", "backbone": "vit_small_patch14_dinov2"}, "cannot be used here: .*256"),
        ({"protocol": "full256", "kappa": 4097, "backbone": "regnet_y_400mf"}, "from 1 to 4096"),
        ({"kappa": 170, "backbone": "squeezenet1_1", "levels": (16,)}, "from 1 to 169"),
        ({"k_image": 0}, "k_image is 0: it is a whole number, 1 or more"),
        ({"k_gallery": -3}, "k_gallery is -3"),
        ({"k_gallery": 2.5}, "k_gallery is 2.5"),
        ({"kappa": 0}, "kappa is 0: it is a whole number, from 1 to 3136"),
        ({"kappa": 197, "fusion": "average"}, "from 1 to 196"),
        ({"kappa": 5000, "protocol": "full256"}, "from 1 to 4096"),
        ({"sigma": -1.0}, "sigma is -1.0"),
        ({"sigma": float("nan")}, "sigma is nan"),
        ({"sigma": float("inf")}, "sigma is inf"),
        ({"metric_resolution": 4}, "metric_resolution is 4: it is a whole number, from 8 to 4096"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_remedy(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match="(?s)" + message.replace("(", r"\(")):
        Configuration(**wrong)


KEYS = {
    "resnet18": ("844c7a8c52e3c183", "c9abced00159c360"),
    "resnet34": ("f0d87bd8d5868510", "c14a2c4a216776e5"),
    "resnet50": ("20e860273d525a8f", "de2b3776ccb3d315"),
    "resnet101": ("70c1cf142f0ca1a7", "350ae5f328ce3395"),
    "resnet152": ("0d6250983212c810", "815ab455757af076"),
    "resnext50_32x4d": ("0a3404ac847148b0", "60b8e5fe1ae8c55e"),
    "resnext101_32x8d": ("7d54393b10e93159", "7be79202b40aed6b"),
    "resnext101_64x4d": ("4eac64552a1c19c8", "b218bd625b8c2214"),
    "wide_resnet50_2": ("45fd814c3e2f0f74", "f3dd8eeb0109d747"),
    "wide_resnet101_2": ("ec28e4f148f526f2", "0e8d5cb6f115d875"),
    "tf_efficientnet_lite0": ("755d7cd5d73b0242", "492999c2edf4a098"),
}


@pytest.mark.parametrize("backbone", KEYS)
def test_features_stored_long_ago_are_still_found(backbone: str) -> None:
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
        assert find_traits(name, 256) == traits(name, 256)
    assert find_traits(EFFICIENTNET_LITE0).grids == traits(EFFICIENTNET_LITE0).grids


def test_the_papers_configuration_needs_no_torch() -> None:
    code = "import sys, tasks.core.config as c; c.Configuration(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_levels_are_by_default_all_that_the_backbone_has() -> None:
    assert Configuration() == Configuration(levels=(4, 8, 16))
    assert Configuration(backbone="vit_small_patch14_dinov2").levels == (14,)
    assert Configuration(backbone="convnext_tiny", levels=(16, 8)).levels == (8, 16)


def test_the_input_is_scaled_as_the_network_was_trained() -> None:
    for name, mean in (("vit_base_patch16_224", 0.5), ("efficientnet_v2_l", 0.5), ("regnet_y_400mf", 0.485)):
        assert Configuration(backbone=name).preprocessing.mean[0] == mean


def test_levels_are_a_set_finest_first() -> None:
    assert Configuration(levels=(16, 4, 16)).levels == (4, 16)


def test_features_depend_on_what_makes_them_and_on_nothing_else() -> None:
    base = Configuration().feature_description("w")
    for other in (
        {"k_gallery": 3},
        {"fusion": "average"},
        {"sigma": 0.0},
        {"levels": (8,)},
        {"weights": "elsewhere"},
    ):
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


def test_the_rule_of_the_gallery_counts_in_scores_only_where_it_is_random() -> None:
    base = Configuration().scoring_description()
    assert "random_gallery_seed" not in base
    assert Configuration(gallery_seed=3).scoring_description() == base
    drawn = [Configuration(gallery="random", gallery_seed=seed).scoring_description() for seed in (0, 3)]
    assert drawn == [base | {"random_gallery_seed": seed} for seed in (0, 3)]
