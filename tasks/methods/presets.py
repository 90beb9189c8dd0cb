"""Settings and methods by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.core.errors import ConfigurationError
from tasks.core.settings import listed, suggestion


@dataclass(frozen=True)
class Preset:
    """Settings that are not the defaults, and the texts of the methods to score by."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = ("spade",)


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(),
    "best": Preset(methods=("ensemble",)),
}


def preset(name: str) -> Preset:
    """The preset of that name: all settings of the paper, or what `tests/benchmarks/presets.py` found best.

    Raises:
        ConfigurationError: there is none.
    """
    if not isinstance(name, str) or name not in PRESETS:
        near = suggestion(name, list(PRESETS))
        raise ConfigurationError(f"preset is {name!r}: {near}it is one of {listed(list(PRESETS))}")
    return PRESETS[name]
