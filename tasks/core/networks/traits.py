"""What a network brings to a configuration: its levels, and the scale of its input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]  # of a network's products
INPUT_SIZE = 224  # at which a network's levels are found


@dataclass(frozen=True)
class Traits:
    """What a network brings to a configuration.

    Attributes:
        library: which it is from.
        grids: stride and cells a side of each level, finest first.
        mean: of the channels of its input, scaled to 0..1.
        std: of these channels.
    """

    library: Literal["torchvision", "timm"]
    grids: tuple[tuple[int, int], ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """Geometry and scale of a backbone's input.

    The image is resized to `resize` x `resize` pixels, its centre `crop` x `crop` is kept, and its channels,
    scaled to 0..1, are normalised by `mean` and `std`.
    """

    resize: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
