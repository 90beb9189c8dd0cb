from __future__ import annotations

from typing import Any

import pytest
import torchvision

from tasks.core.config import RESNETS, Configuration, ConfigurationError


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
        ({"backbone": "x"}, "it is one of resnet18"),
        ({"fusion": "concat"}, "did you mean concatenate"),
        ({"upsampling": "bicubic"}, "upsampling is 'bicubic'"),
        ({"gallery": "far"}, "it is one of nearest, random"),
        ({"gallery_seed": -1}, "gallery_seed is -1"),
        ({"distance": "l2"}, "squared, euclidean"),
        ({"protocol": "papr"}, "did you mean paper"),
        ({"dtype": "float64"}, "did you mean float"),
        ({"precision": "half"}, "it is one of float32, bfloat16"),
        ({"levels": (4, 32)}, "level is 32: it is one of 4, 8, 16"),
        ({"levels": (6,)}, "level is 6"),
        ({"levels": ()}, "levels is empty"),
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


def test_backbones_are_all_of_torchvisions_resnets() -> None:
    known = {name for name in torchvision.models.list_models(module=torchvision.models) if "resne" in name}
    assert set(RESNETS) == known


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
