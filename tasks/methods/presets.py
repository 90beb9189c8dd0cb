"""Settings and methods by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from storage.results.schemas import SPADE
from tasks.core.config import ConfigurationError


@dataclass(frozen=True)
class Preset:
    """Settings of a `Configuration` that are not its defaults, and the methods to score by."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    methods: tuple[str, ...] = (SPADE,)


PRESETS: Mapping[str, Preset] = {
    "paper": Preset(),
    "best": Preset(methods=("ensemble",)),
}


def preset(name: str) -> Preset:
    """The preset of that name: all settings of the paper, or what `tests/benchmarks/presets.py` found best.

    Raises:
        ConfigurationError: there is none.
    """
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS) or list(PRESETS)
        raise ConfigurationError(f"preset is {name!r}: it is one of {', '.join(near)}")
    return PRESETS[name]
