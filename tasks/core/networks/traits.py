"""What a network brings to a configuration: its levels, and the scale of its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tasks.core.errors import ConfigurationError
from tasks.core.settings import listed

Precision = Literal["float32", "bfloat16"]  # of a network's products
Level = int | str  # the stride of a level, or the layer that gives it: 8, "layer2", "blocks.3+norm"
NORMED = "+norm"  # ends the name of a layer whose output goes through the network's final norm
INPUT_SIZE = 224  # at which a network's levels are found


class Grid(NamedTuple):
    """Rows and columns of a level's cells, and the pixels from cell to cell."""

    rows: int
    columns: int
    stride: int


Grids = Mapping[Level, Grid]


@dataclass(frozen=True)
class Traits:
    """What a network brings to a configuration.

    Attributes:
        library: which it is from.
        levels: name and grid of each level, finest first.
        mean: of the channels of its input, scaled to 0..1.
        std: of these channels.
    """

    library: Literal["torchvision", "timm"]
    levels: tuple[tuple[Level, Grid], ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def grids(self) -> dict[Level, Grid]:
        """The grid of each level, finest first."""
        return dict(self.levels)


def taken_level(value: Any) -> Any:
    """A level as it is named in settings and keys: a stride is a whole number also where a text says it."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def is_level(value: Any) -> bool:
    """Whether it can name a level: a whole number above 0, or a text."""
    if isinstance(value, str):
        return bool(value)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def taken_levels(levels: tuple[Any, ...], name: str = "levels") -> tuple[Level, ...]:
    """Levels as settings hold them, each once; strides come first, in their order.

    Raises:
        ConfigurationError: one is neither a stride nor a text.
    """
    taken = tuple(dict.fromkeys(map(taken_level, levels)))
    if not all(map(is_level, taken)):
        raise ConfigurationError(
            f"{name} is {levels!r}: name strides, whole numbers above 0, or layers, as (8, 'layer3')"
        )
    strides = sorted(level for level in taken if isinstance(level, int))
    return (*strides, *(level for level in taken if isinstance(level, str)))


def find_level(level: Level, grids: Grids) -> Level:
    """The level that is meant: the one of this name, or the only one of this stride.

    Raises:
        ConfigurationError: there is none, or several have this stride.
    """
    if level in grids:
        return level
    found = [name for name, grid in grids.items() if grid.stride == level]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(f"level is {level!r}, the stride of {listed(found)}: name one of these")
    raise ConfigurationError(
        f"level is {level!r}: the network has {listed(list(grids))}; --layer names others of its layers"
    )
