"""What determines the result of an evaluation, and the values it may take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal, get_args

Protocol = Literal["paper", "full", "full256"]
Fusion = Literal["concatenate", "average"]
Upsampling = Literal["bilinear", "nearest"]
Distance = Literal["squared", "euclidean"]
Gallery = Literal["nearest", "random"]
Index = Literal["flat", "hnsw", "ivf"]
FeatureDtype = Literal["float16", "float32"]
Precision = Literal["float32", "bfloat16"]

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
MAX_METRIC_RESOLUTION = 4096
DEFAULT_MEMORY_GIB = 2.0  # of pyramids, kept while scoring
DEFAULT_TOLERANCE = 0.005  # of a metric: what it may lose or gain before it is called worse or better

_GEOMETRIES: Mapping[Protocol, tuple[int, int]] = {  # of each protocol: resize and crop, pixels
    "paper": (256, INPUT_SIZE),
    "full": (INPUT_SIZE, INPUT_SIZE),
    "full256": (256, 256),
}


class ConfigurationError(ValueError):
    """A setting out of its range; the message names it, its value and what it may be."""


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


@dataclass(frozen=True)
class Configuration:
    """One way to compute scores; the defaults are those of the paper (arXiv 2005.02357v3, section 4).

    Attributes:
        backbone: name of a network; torchvision's, if it has one of this name, or else timm's.
        weights: file of its state dict; None for the published weights.
        protocol: "paper" resizes to 256 and crops the centre 224; "full" resizes the whole image to 224, and
            "full256" to 256, as the paper does frames of ShanghaiTech Campus.
        levels: strides of the pyramid's levels that are matched, finest first; () becomes all that the
            backbone has, 4, 8 and 16 of a ResNet.
        k_image: neighbours averaged in the image score (equation 2).
        k_gallery: training images whose patches form the gallery.
        gallery: which those are, "nearest" to the test image (section 3.1) or "random".
        gallery_seed: of the random ones.
        index: of the embeddings of more than `flat_up_to` training images: "flat" is exact, "hnsw" and "ivf"
            need not compare with all, and may miss some.
        flat_up_to: training images up to which the index is flat whatever `index` says.
        kappa: nearest gallery patches averaged in the pixel score (equation 3); at most one image's patches.
        fusion: "concatenate" matches all levels at once; "average" each on its own.
        upsampling: how coarse levels reach the finest grid when they are concatenated.
        distance: of patches, "squared" or its root, "euclidean".
        sigma: standard deviation of the Gaussian filter, in pixels at metric resolution; 0 for none.
        metric_resolution: side of anomaly maps and masks, in pixels.
        dtype: of the stored features.
        precision: of the backbone's products; bfloat16 is faster on some processors, and moves the scores.
    """

    backbone: str = "wide_resnet50_2"
    weights: str | None = None
    protocol: Protocol = "paper"
    levels: tuple[int, ...] = ()
    k_image: int = 50
    k_gallery: int = 50
    gallery: Gallery = "nearest"
    gallery_seed: int = 0
    index: Index = "flat"
    flat_up_to: int = 10_000
    kappa: int = 1
    fusion: Fusion = "concatenate"
    upsampling: Upsampling = "bilinear"
    distance: Distance = "squared"
    sigma: float = 4.0
    metric_resolution: int = 256
    dtype: FeatureDtype = "float16"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        """Check each setting; ConfigurationError names the first that is wrong."""
        _one_of("protocol", self.protocol, get_args(Protocol))
        _one_of("fusion", self.fusion, get_args(Fusion))
        _one_of("upsampling", self.upsampling, get_args(Upsampling))
        _one_of("distance", self.distance, get_args(Distance))
        _one_of("gallery", self.gallery, get_args(Gallery))
        _one_of("index", self.index, get_args(Index))
        _one_of("dtype", self.dtype, get_args(FeatureDtype))
        _one_of("precision", self.precision, get_args(Precision))
        _whole("k_image", self.k_image, 1, None)
        _whole("k_gallery", self.k_gallery, 1, None)
        _whole("gallery_seed", self.gallery_seed, 0, None)
        _whole("flat_up_to", self.flat_up_to, 0, None)
        _whole("metric_resolution", self.metric_resolution, 8, MAX_METRIC_RESOLUTION)
        if not (isinstance(self.sigma, int | float) and 0 <= self.sigma < self.metric_resolution):
            raise ConfigurationError(
                f"sigma is {self.sigma!r}: it is a number of pixels from 0 (no filter) "
                f"to below the metric resolution, {self.metric_resolution}"
            )
        grids = dict(self._traits.grids)
        for level in self.levels:
            if level not in grids:
                raise ConfigurationError(f"level is {level!r}: {self.backbone} has {_listed(self.strides)}")
        object.__setattr__(self, "levels", tuple(sorted(set(self.levels))) or self.strides)
        coarsest = self.levels[-1] if self.fusion == "average" else self.levels[0]
        _whole("kappa", self.kappa, 1, grids[coarsest] ** 2)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of all levels that the backbone has, finest first."""
        return tuple(stride for stride, _ in self._traits.grids)

    @property
    def preprocessing(self) -> Preprocessing:
        """What an image goes through before the backbone."""
        traits = self._traits
        return Preprocessing(*_GEOMETRIES[self.protocol], traits.mean, traits.std)

    @property
    def _traits(self) -> Traits:
        return traits(self.backbone, _GEOMETRIES[self.protocol][1])

    def feature_description(self, weights_sha256: str) -> dict[str, Any]:
        """All that determines the features of an image."""
        return {
            "version": 1,
            "backbone": self.backbone,
            "weights_sha256": weights_sha256,
            "preprocessing": dataclasses.asdict(self.preprocessing),
            "levels": list(self.strides),
            "dtype": self.dtype,
            "precision": self.precision,
        }

    def scoring_description(self) -> dict[str, Any]:
        """All that determines an image's scores, given the features and the training images."""
        names = ("levels", "k_image", "k_gallery", "kappa", "fusion", "upsampling", "distance", "sigma")
        settings = {name: getattr(self, name) for name in (*names, "metric_resolution")}
        drawn = {"random_gallery_seed": self.gallery_seed} if self.gallery == "random" else {}
        approximate = {} if self.index == "flat" else {"index": self.index}
        return {"version": 1} | settings | drawn | approximate

    def index_for(self, rows: int) -> Index:
        """The kind of index of so many training images."""
        return "flat" if rows <= self.flat_up_to else self.index

    def description(self) -> dict[str, Any]:
        """Every setting by name."""
        return dataclasses.asdict(self)


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


def _one_of(name: str, value: Any, allowed: Sequence[Any]) -> None:
    if value in allowed:
        return
    near = get_close_matches(str(value), [str(item) for item in allowed], n=3, cutoff=0.5)
    hint = f"did you mean {_listed(near)}? " if near else ""
    raise ConfigurationError(f"{name} is {value!r}: {hint}it is one of {_listed(allowed)}")


def _whole(name: str, value: Any, low: int, high: int | None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        limits = f"{low} or more" if high is None else f"from {low} to {high}"
        raise ConfigurationError(f"{name} is {value!r}: it is a whole number, {limits}")


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)
