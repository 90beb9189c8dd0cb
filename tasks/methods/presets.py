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


_WHOLE = {"protocol": "full", "layers": (8, 16, 32)}  # without the finest level, with a coarser one
_BY_MAP = "distance='euclidean', image_rule='map'"
_FAST = f"spade(levels=(8, 16, 32), window=3, {_BY_MAP})"
_BEST = (
    f"spade(levels=(8, 16), normalization='levels', window=4, {_BY_MAP})",
    f"spade(levels=(8, 16, 32), average=3, window=3, {_BY_MAP})",
    f"spade(levels=(8,), window=2, {_BY_MAP})",
)

PRESETS: Mapping[str, Preset] = {
    "paper": Preset(),
    "best": Preset(_WHOLE, (f"ensemble(methods={_BEST!r}, scale='median')",)),
    "fast": Preset(_WHOLE, (_FAST,)),
    "rad": Preset(
        {
            "backbone": "vit_base_patch16_dinov3",
            "resize": "512",
            "crop": "448",
            "layers": ("blocks.3+norm", "blocks.6+norm", "blocks.9+norm", "blocks.11+norm"),
            "sigma": 1.0,
        },
        ("rad",),
    ),
    "anomalydino": Preset(
        {
            "backbone": "vit_small_patch14_dinov2",
            "input": "448",
            "aspect": "crop",
            "layers": ("blocks.11+norm",),
        },
        ("anomalydino",),
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name: the paper's settings, the best found, good and cheap ones, or a descendant's.

    docs/methods.md says how they were chosen, and by how much they are better.

    Raises:
        ConfigurationError: there is none.
    """
    if not isinstance(name, str) or name not in PRESETS:
        near = suggestion(name, list(PRESETS))
        raise ConfigurationError(f"preset is {name!r}: {near}it is one of {listed(list(PRESETS))}")
    return PRESETS[name]
