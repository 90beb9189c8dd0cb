"""Networks whose traits are known without building them, and how those of the others are found."""

from __future__ import annotations

from functools import cache

from tasks.core.networks.traits import INPUT_SIZE, Grid, Level, Traits

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
EFFICIENTNET_LITES = (EFFICIENTNET_LITE0, "tf_efficientnet_lite1", "tf_efficientnet_lite2")
STRIDES = (4, 8, 16)  # of these networks, by default
_ALL_STRIDES = (*STRIDES, 32)


@cache
def traits(
    backbone: str, size: tuple[int, int] = (INPUT_SIZE, INPUT_SIZE), layers: tuple[Level, ...] = ()
) -> Traits:
    """What a network brings with images of `size`, height and width in pixels.

    Its levels are `layers`, or the last map of each stride from 4 to 16. Most networks are built to find out,
    which takes seconds.

    Raises:
        ConfigurationError: there is no such network or layer, or it cannot be used.
    """
    if set(layers) <= set(_ALL_STRIDES):
        rows, columns = size
        levels = tuple(
            (stride, Grid(-(-rows // stride), -(-columns // stride), stride))
            for stride in _ALL_STRIDES
            if stride in (layers or STRIDES)
        )
        if backbone in RESNETS:
            return Traits("torchvision", levels, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        if backbone in EFFICIENTNET_LITES:
            return Traits("timm", levels, (127 / 255,) * 3, (128 / 255,) * 3)
    from tasks.core.networks.levels import find_traits

    return find_traits(backbone, size, layers)
