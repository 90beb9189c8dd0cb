"""All points of a grid of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from tasks.core.config import Configuration, ConfigurationError

AXES = (
    "gallery",
    "gallery_seed",
    "levels",
    "fusion",
    "upsampling",
    "distance",
    "sigma",
    "kappa",
    "k_image",
    "k_gallery",
    "k",
)


def grid(base: Configuration, axes: Mapping[str, Sequence[Any]]) -> list[Configuration]:
    """Every combination of the values along the axes, each once; the last of `AXES` varies fastest.

    An axis is a setting of scoring by its name, or "k": k_image and k_gallery together. What is no axis, or
    has no values, is as in `base`.

    Raises:
        ConfigurationError: an unknown axis, "k" beside what it sets, or a combination that is not allowed.
    """
    unknown = axes.keys() - set(AXES)
    if unknown:
        raise ConfigurationError(f"axis is {min(unknown)!r}: it is one of {', '.join(AXES)}")
    given = {name: axes[name] for name in AXES if axes.get(name)}
    if "k" in given and given.keys() & {"k_image", "k_gallery"}:
        raise ConfigurationError("k is k_image and k_gallery together: give values for it, or for these")
    points = []
    for values in product(*given.values()):
        settings = dict(zip(given, values, strict=True))
        try:
            points.append(replace(base, **_spelled(settings)))
        except ConfigurationError as error:
            point = ", ".join(f"{name} {value}" for name, value in settings.items())
            raise ConfigurationError(f"{error} (at the point {point})") from error
    return list(dict.fromkeys(points))


def _spelled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their own names."""
    both = {"k_image": settings["k"], "k_gallery": settings["k"]} if "k" in settings else {}
    return {name: value for name, value in settings.items() if name != "k"} | both
