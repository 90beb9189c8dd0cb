from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.grid import AXES, Point, grid
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.spade import Spade

BASE = Point(Configuration(), (Spade(k_image=7),))


def spades(points: list[Point]) -> list[Spade]:
    """The only method of each point."""
    found = []
    for point in points:
        (method,) = point.methods
        assert isinstance(method, Spade)
        found.append(method)
    return found


def test_every_combination_is_a_point_and_the_last_axis_varies_fastest() -> None:
    points = spades(grid(BASE, {"k_gallery": [1, 5], "fusion": ["average", "concatenate"]}))
    assert [(point.fusion, point.k_gallery, point.k_image) for point in points] == [
        ("average", 1, 7),
        ("average", 5, 7),
        ("concatenate", 1, 7),
        ("concatenate", 5, 7),
    ]


def test_k_is_both_of_its_kind() -> None:
    points = spades(grid(BASE, {"k": [1, 5]}))
    assert [(point.k_image, point.k_gallery) for point in points] == [(1, 1), (5, 5)]


def test_a_value_that_is_repeated_is_one_point() -> None:
    assert grid(BASE, {"k": [2, 2], "levels": [[16, 4], (4, 16)], "sigma": []}) == [
        Point(Configuration(), (Spade(levels=(4, 16), k_image=2, k_gallery=2),))
    ]
    assert len(grid(BASE, {"sigma": [2, 2.0]})) == 1


def test_no_axis_is_one_point() -> None:
    assert grid(BASE, {}) == [BASE]


def test_axes_of_spade_change_it_wherever_it_is_and_no_other_method() -> None:
    base = Point(Configuration(), (DN2(), Ensemble(methods=(DN2(k=1), Spade())), Spade(kappa=2)))
    first, second = grid(base, {"k_gallery": [3, 4]})
    for point, k in ((first, 3), (second, 4)):
        assert point.methods == (
            DN2(),
            Ensemble(methods=(DN2(k=1), Spade(k_gallery=k))),
            Spade(kappa=2, k_gallery=k),
        )


def test_methods_that_an_axis_makes_the_same_are_one() -> None:
    base = Point(Configuration(), (Spade(), Spade(k_gallery=9), Spade(kappa=3)))
    assert [len(point.methods) for point in grid(base, {"k_gallery": [1, 2]})] == [2, 2]


def test_axes_of_maps_are_of_all_methods() -> None:
    points = grid(Point(Configuration(), (DN2(),)), {"sigma": [0, 1], "metric_resolution": [64]})
    assert points == [
        Point(Configuration(sigma=sigma, metric_resolution=64), (DN2(),)) for sigma in (0.0, 1.0)
    ]


def test_axes_are_the_settings_of_spade_and_of_maps() -> None:
    assert {field.name for field in fields(Spade)} == set(AXES) - {"k", "sigma", "metric_resolution"}
    for name in Configuration().map_description():
        assert name in AXES
    assert {"backbone", "weights", "protocol", "dtype", "precision"}.isdisjoint(AXES)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"K": [1]}, "axis is 'K': it is one of gallery, gallery_seed, levels"),
        ({"fusoin": [1]}, "axis is 'fusoin': did you mean fusion"),
        ({"k": [1], "k_image": [2]}, "k is k_image and k_gallery together"),
        ({"k": [5, 0]}, r"k_image is 0: .* \(at the point k 0\)"),
        ({"fusion": ["mean"]}, "fusion is 'mean': it is one of concatenate, average"),
        ({"levels": [[4, 32]]}, r"level is 32: the network has 4, 8, 16; .* \(at the point levels"),
        (
            {"kappa": [500], "fusion": ["concatenate", "average"]},
            r"500.*\(at the point fusion aver",
        ),
    ],
)
def test_what_is_wrong_is_named(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        grid(BASE, axes)


@pytest.mark.parametrize("axis", ["k", "kappa"])
def test_an_axis_of_spade_needs_spade(axis: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"axis is '{axis}': .* spade, which is not among .*\(dn2\)"
    ):
        grid(replace(BASE, methods=(DN2(),)), {axis: [1]})
