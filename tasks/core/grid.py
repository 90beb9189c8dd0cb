"""All points of a grid of settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.core.methods.spade import Spade
from tasks.core.settings import declarations, listed, suggestion

_MAPS = tuple(name for name, each, _ in declarations(Configuration) if each.determines == "maps")
_SPADE = tuple(field.name for field in fields(Spade))
K = "k"
AXES = (*_SPADE, *_MAPS, K)


@dataclass(frozen=True)
class Point:
    """A point of a grid: what determines the maps, and the methods."""

    configuration: Configuration
    methods: tuple[Method, ...]


def grid(base: Point, axes: Mapping[str, Sequence[Any]]) -> list[Point]:
    """Every combination of the values along the axes, each once; the last of `AXES` varies fastest.

    An axis is a setting of SPADE, wherever it is among the methods, of the maps of all methods, or "k":
    k_image and k_gallery together. What is no axis, or has no values, is as in `base`.

    Raises:
        ConfigurationError: an unknown axis, one of SPADE without SPADE, "k" beside what it sets, or a
            combination that is not allowed.
    """
    for name in axes:
        if name not in AXES:
            raise ConfigurationError(f"axis is {name!r}: {suggestion(name, AXES)}it is one of {listed(AXES)}")
    given = {name: axes[name] for name in AXES if axes.get(name)}
    if K in given and given.keys() & {"k_image", "k_gallery"}:
        raise ConfigurationError("k is k_image and k_gallery together: give values for it, or for these")
    of_spade = [name for name in given if name not in _MAPS]
    members = [member for method in base.methods for member in method.members]
    if of_spade and not any(isinstance(member, Spade) for member in members):
        raise ConfigurationError(
            f"axis is {of_spade[0]!r}: it is a setting of spade, which is not among the methods "
            f"({listed([method.label for method in base.methods])})"
        )
    points = []
    for values in product(*given.values()):
        settings = dict(zip(given, values, strict=True))
        try:
            points.append(_point(base, settings))
        except ConfigurationError as error:
            point = ", ".join(f"{name} {value}" for name, value in settings.items())
            raise ConfigurationError(f"{error} (at the point {point})") from error
    return list(dict.fromkeys(points))


def _point(base: Point, settings: Mapping[str, Any]) -> Point:
    maps = {name: value for name, value in settings.items() if name in _MAPS}
    spade = {name: value for name, value in settings.items() if name in _SPADE}
    if K in settings:
        spade |= {"k_image": settings[K], "k_gallery": settings[K]}
    configuration = replace(base.configuration, **maps)
    methods = tuple(dict.fromkeys(_with(method, spade) for method in base.methods))
    for method in methods:
        method.settled(configuration.grids)
    return Point(configuration, methods)


def _with(method: Method, spade: Mapping[str, Any]) -> Method:
    """A method with these settings of SPADE, where it is SPADE or joins it."""
    if isinstance(method, Spade):
        return replace(method, **spade)
    if isinstance(method, Ensemble):
        return replace(method, methods=tuple(_with(each, spade) for each in method.methods))
    return method
