from __future__ import annotations

from typing import Any

import pytest

from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.grid import AXES, grid

BASE = Configuration(k_image=7)


def test_every_combination_is_a_point_and_the_last_axis_varies_fastest() -> None:
    points = grid(BASE, {"k_gallery": [1, 5], "fusion": ["average", "concatenate"]})
    assert [(point.fusion, point.k_gallery, point.k_image) for point in points] == [
        ("average", 1, 7),
        ("average", 5, 7),
        ("concatenate", 1, 7),
        ("concatenate", 5, 7),
    ]


def test_k_is_both_of_its_kind() -> None:
    assert [(point.k_image, point.k_gallery) for point in grid(BASE, {"k": [1, 5]})] == [(1, 1), (5, 5)]


def test_a_value_that_is_repeated_is_one_point() -> None:
    assert grid(BASE, {"k": [2, 2], "levels": [[16, 4], (4, 16)], "sigma": []}) == [
        Configuration(levels=(4, 16), k_image=2, k_gallery=2)
    ]


def test_no_axis_is_one_point() -> None:
    assert grid(BASE, {}) == [BASE]


def test_axes_are_the_settings_of_scoring() -> None:
    settings = Configuration(gallery="random").scoring_description()
    names = {"gallery_seed" if name == "random_gallery_seed" else name for name in settings}
    assert set(AXES) - {"k", "gallery"} == names - {"version", "metric_resolution"}


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"K": [1]}, "axis is 'K': it is one of gallery, gallery_seed, levels"),
        ({"k": [1], "k_image": [2]}, "k is k_image and k_gallery together"),
        ({"k": [5, 0]}, r"k_image is 0: .* \(at the point k 0\)"),
        ({"fusion": ["mean"]}, "fusion is 'mean': it is one of concatenate, average"),
        (
            {"kappa": [500], "fusion": ["concatenate", "average"]},
            r"500.*\(at the point fusion aver",
        ),
    ],
)
def test_what_is_wrong_is_named(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        grid(BASE, axes)
