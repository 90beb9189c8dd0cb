"""How a dataset is evaluated, from what a user names: a preset, settings, methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from storage.datasets.registry import Registry
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Method
from tasks.core.methods.registry import METHODS, parse_methods
from tasks.core.methods.spade import Spade
from tasks.core.settings import listed, make, suggestion
from tasks.methods.presets import preset

_SHARED = tuple(field.name for field in fields(Configuration))
_OF_SPADE = tuple(field.name for field in fields(Spade))


@dataclass(frozen=True)
class Recipe:
    """How a dataset is evaluated: what the methods have in common, and the methods."""

    configuration: Configuration
    methods: tuple[Method, ...]


def recipe(settings: Mapping[str, Any], methods: Sequence[str] = (), name: str = "paper") -> Recipe:
    """The preset called `name`, but for the settings and the texts of methods that are given.

    A setting is one of `Configuration`, or one of SPADE, for where it is among the methods.

    Raises:
        ConfigurationError: an unknown setting, method or preset, a value out of its range, settings of SPADE
            without it, or a network that has not the levels that a method reads.
    """
    chosen = preset(name)
    given = {**chosen.settings, **settings}
    for wanted in given:
        if wanted not in (*_SHARED, *_OF_SPADE):
            near = suggestion(wanted, (*_SHARED, *_OF_SPADE))
            raise ConfigurationError(f"{wanted} is no setting: {near}see spade evaluate --help")
    configuration = make(Configuration, "configuration", _chosen(given, _SHARED))
    of_spade = _chosen(given, _OF_SPADE)
    texts = methods or chosen.methods
    derived = [name for name, kind in METHODS.items() if issubclass(kind, Spade)]
    parsed = parse_methods(texts, dict.fromkeys(derived, of_spade))
    members = [member for method in parsed for member in method.members]
    if of_spade and not any(isinstance(member, Spade) for member in members):
        raise ConfigurationError(
            f"{next(iter(of_spade))} is a setting of spade, which is not among the methods "
            f"({listed(texts)}): name it with --method spade, or drop the setting"
        )
    for method in parsed:
        method.settled(configuration.grids)
    return Recipe(configuration, parsed)


def registered_recipes(registry: Registry, name: str) -> dict[str, Recipe]:
    """How to evaluate the dataset `name`, by the names of the configurations.

    Raises:
        DatasetError: the entry cannot be used.
        ConfigurationError: a setting is wrong; the file and the tables are named.
    """
    found = {}
    for title, table in registry.entry(name).configurations.items():
        given = dict(table)
        chosen, methods = given.pop("preset", "paper"), given.pop("methods", ())
        try:
            if not isinstance(methods, list | tuple) or not all(isinstance(each, str) for each in methods):
                raise ConfigurationError(f"methods is {methods!r}: it is a list of names")
            found[title] = recipe(given, tuple(methods), chosen)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{registry.path}, dataset {name!r}, configuration {title!r}: {error}"
            ) from error
    return found


def _chosen(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those of these names; lists, as files have them, become tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in names
    }
