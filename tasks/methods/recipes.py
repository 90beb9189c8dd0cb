"""What a registry says of how its datasets are evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from storage.datasets.registry import Registry, build
from tasks.core.config import Configuration, ConfigurationError
from tasks.methods.by_name import known_methods
from tasks.methods.presets import preset


@dataclass(frozen=True)
class Recipe:
    """How a dataset is evaluated."""

    configuration: Configuration
    methods: tuple[str, ...]


def registered_recipes(registry: Registry, name: str) -> dict[str, Recipe]:
    """How to evaluate the dataset `name`, by the names of the configurations.

    Raises:
        DatasetError: the entry cannot be used.
        ConfigurationError: a setting is wrong; the file and the tables are named.
    """
    found = {}
    for wanted, settings in registry.entry(name).configurations.items():
        try:
            found[wanted] = _recipe(settings)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{registry.path}, dataset {name!r}, configuration {wanted!r}: {error}"
            ) from error
    return found


def _recipe(settings: Mapping[str, Any]) -> Recipe:
    """Of a table: a preset, "paper" if none is named, but for the settings and methods that are given."""
    given = dict(settings)
    chosen = preset(given.pop("preset", "paper"))
    methods = given.pop("methods", chosen.methods)
    try:
        methods = TypeAdapter(tuple[str, ...]).validate_python(methods)
    except ValidationError as error:
        raise ValueError(f"methods is {methods!r}: it is a list of names") from error
    return Recipe(build(Configuration, {**chosen.settings, **given}), known_methods(methods))
