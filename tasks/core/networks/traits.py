"""What a network brings to a configuration: its levels, and the scale of its input."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

EFFICIENTNET_LITE0 = "tf_efficientnet_lite0"
RESNETS = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
INPUT_SIZE = 224  # at which a network's levels are found
STRIDES = (4, 8, 16)  # of the ResNets and EfficientNet-Lite0


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


@cache
def traits(backbone: str, side: int = INPUT_SIZE) -> Traits:
    """What a network brings, with images of `side` pixels; most are built to find out, which takes seconds.

    Raises:
        ConfigurationError: there is no such network, or it cannot be used.
    """
    grids = tuple((stride, side // stride) for stride in STRIDES)
    if backbone in RESNETS:
        return Traits("torchvision", grids, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    if backbone == EFFICIENTNET_LITE0:
        return Traits("timm", grids, (127 / 255,) * 3, (128 / 255,) * 3)
    from tasks.core.networks.levels import find_traits

    return find_traits(backbone, side)
