"""The configurations that a registry names for its datasets."""

from __future__ import annotations

from storage.registry import Registry, build
from tasks.core.config import Configuration, ConfigurationError


def registered_configurations(registry: Registry, name: str) -> dict[str, Configuration]:
    """The configurations to evaluate the dataset `name` with, by their names.

    Raises:
        DatasetError: the entry cannot be used.
        ConfigurationError: a setting is wrong; the file and the tables are named.
    """
    found = {}
    for wanted, settings in registry.entry(name).configurations.items():
        try:
            found[wanted] = build(Configuration, settings)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{registry.path}, dataset {name!r}, configuration {wanted!r}: {error}"
            ) from error
    return found
