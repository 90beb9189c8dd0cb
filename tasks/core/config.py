"""The settings that all methods share: of the features, and of the anomaly maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tasks.core.errors import ConfigurationError
from tasks.core.networks.geometry import Aspect, Preprocessing, Size, as_pair, parsed_size, taken_size
from tasks.core.networks.known import traits
from tasks.core.networks.traits import INPUT_SIZE, Grid, Level, Precision, taken_levels
from tasks.core.settings import Settings, declarations, setting

Protocol = Literal["paper", "full", "full256"]
FeatureDtype = Literal["float16", "float32"]

DEFAULT_BATCH_SIZE = 16
DEFAULT_MEMORY_GIB = 1.5  # of training images, kept while fitting and scoring
DEFAULT_TOLERANCE = 0.005  # of a metric: what it may lose or gain before it is called worse or better
_GEOMETRIES: Mapping[Protocol, tuple[int, int | None]] = {  # of each protocol: resize and crop, pixels
    "paper": (256, INPUT_SIZE),
    "full": (INPUT_SIZE, None),
    "full256": (256, None),
}
EVALUATED_AREA = ("protocol", "resize", "crop", "input", "aspect")  # the settings that say what is seen
_SIZES = ("resize", "crop", "input")
_DESCRIBED = {*EVALUATED_AREA, "tile", "overlap", "layers"}  # in a feature key by what they come to


@dataclass(frozen=True)
class Configuration(Settings):
    """What a run's methods have in common; the defaults are the paper's (arXiv 2005.02357v3, section 4)."""

    backbone: str = setting(
        "wide_resnet50_2",
        "network of torchvision or timm, by its name there; torchvision's, if both have it",
        determines="features",
        stated=True,
    )
    weights: str | None = setting(
        None, "file of a state dict, torch's or .safetensors; none for the published weights",
        determines="features",
    )  # fmt: skip
    protocol: Protocol = setting(
        "paper",
        "paper: resize 256, centre crop 224; full, full256: the whole image, resized to 224 or 256",
        choices=get_args(Protocol),
        determines="features",
        stated=True,
    )
    resize: str | None = setting(
        None,
        "side or HEIGHTxWIDTH that images are resized to, pixels; by default the protocol's",
        determines="features", stated=True,
    )  # fmt: skip
    crop: str | None = setting(
        None,
        "side or HEIGHTxWIDTH of the centre that is kept, pixels; by default the protocol's",
        determines="features", stated=True,
    )  # fmt: skip
    input: str | None = setting(
        None,
        "side or HEIGHTxWIDTH of the whole image as the network sees it, in place of --resize and --crop",
        determines="features", stated=True,
    )  # fmt: skip
    aspect: Aspect = setting(
        "stretch",
        "stretch, or keep it: the shorter side is resized, and where nothing else is cropped, the other is "
        "cropped or padded to the stride",
        choices=get_args(Aspect),
        determines="features",
        stated=True,
    )
    tile: int | None = setting(
        None,
        "side of the tiles that pass through the network one by one, pixels; by default all at once",
        low=8, high=4096, determines="features", stated=True,
    )  # fmt: skip
    overlap: int = setting(0, "of neighbouring tiles, pixels", low=0, determines="features")
    layers: tuple[Level, ...] = setting(
        (),
        "layers of the network that give levels, as layer2 or blocks.3, and with +norm after its final norm; "
        "a stride stands for the last map that has it, and by default those of 4 to 16 are taken",
        determines="features",
    )
    sigma: float = setting(
        4.0, "standard deviation of the Gaussian filter, pixels at metric resolution; 0 for none",
        low=0, noun="number of pixels", determines="maps", stated=True,
    )  # fmt: skip
    metric_resolution: int = setting(
        256, "side of anomaly maps and masks, pixels", low=8, high=4096, determines="maps", stated=True
    )
    dtype: FeatureDtype = setting(
        "float16", "type of the stored features", choices=get_args(FeatureDtype), determines="features"
    )
    precision: Precision = setting(
        "float32",
        "of the backbone's products; bfloat16 is faster on some processors, and moves scores",
        choices=get_args(Precision),
        determines="features",
    )
    fpr: float = setting(
        0.0,
        "false-positive rate of the operating point, on normal images; 0 for none",
        low=0, below=1, noun="share", determines="verdicts",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check each setting, and the filter against the maps."""
        for name in _SIZES:
            object.__setattr__(self, name, taken_size(getattr(self, name)))
        super().__post_init__()
        self._check_geometry()
        object.__setattr__(self, "layers", taken_levels(self.layers, "layers"))
        if self.sigma >= self.metric_resolution:
            raise ConfigurationError(
                f"sigma is {self.sigma!r}: it is a number of pixels from 0 (no filter) "
                f"to below the metric resolution, {self.metric_resolution}"
            )

    @property
    def grids(self) -> dict[Level, Grid]:
        """The grid of each level, finest first; where inputs are of several sizes, of a square image.

        Raises:
            ConfigurationError: the network does not take such inputs, or they cannot be cut into such tiles.
        """
        how = self.preprocessing
        size = how.frame(1, 1).size
        if how.tile is None:
            return traits(self.backbone, size, self.layers).grids
        of_tile = traits(self.backbone, (how.tile, how.tile), self.layers).grids
        multiple = max(grid.stride for grid in of_tile.values())
        for name, length in (
            ("tile", how.tile),
            ("overlap", how.overlap),
            *(("input", side) for side in size),
        ):
            if length % multiple:
                near = max(1, round(length / multiple)) * multiple
                raise ConfigurationError(
                    f"{name} is {length}: with tiles all lengths are multiples of the coarsest stride, "
                    f"{multiple}: name {near}"
                )
        if not how.overlap < how.tile <= min(size):
            raise ConfigurationError(
                f"tile is {how.tile}: it is more than the overlap, {how.overlap}, and at most the shorter "
                f"side of the input, {min(size)}"
            )
        return {
            level: Grid(size[0] // grid.stride, size[1] // grid.stride, grid.stride)
            for level, grid in of_tile.items()
        }

    @property
    def network_input(self) -> tuple[int, int] | None:
        """Height and width of what passes through the network; None where images decide."""
        how = self.preprocessing
        if how.tile is not None:
            return how.tile, how.tile
        return how.frame(1, 1).size if how.one_size else None

    @property
    def levels(self) -> tuple[Level, ...]:
        """Names of all levels, finest first."""
        return tuple(self.grids)

    @property
    def preprocessing(self) -> Preprocessing:
        """What an image goes through before the backbone."""
        found = traits(self.backbone, layers=self.layers)
        resize, crop = self._resize_and_crop
        return Preprocessing(
            resize,
            crop,
            found.mean,
            found.std,
            self.aspect,
            1 if self.aspect == "stretch" else max(grid.stride for grid in found.grids.values()),
            self.tile,
            self.overlap if self.tile else 0,
        )

    @property
    def _resize_and_crop(self) -> tuple[int | Size, int | Size | None]:
        if self.input:
            return parsed_size("input", self.input), None
        resize, crop = _GEOMETRIES[self.protocol]
        return (
            parsed_size("resize", self.resize) if self.resize else resize,
            parsed_size("crop", self.crop) if self.crop else crop,
        )

    def _check_geometry(self) -> None:
        """Check the sizes against each other."""
        resize, crop = self._resize_and_crop
        if self.input and (self.resize or self.crop):
            raise ConfigurationError(
                f"input is {self.input}: it is in place of resize and crop: name it, or these"
            )
        if self.aspect != "stretch" and not isinstance(resize, int):
            raise ConfigurationError(
                f"aspect is {self.aspect!r}: it is kept by the shorter side: name one number to resize to, "
                f"not {self.input or self.resize}"
            )
        if self.aspect == "stretch" and crop is not None:
            for length, limit in zip(as_pair(crop), as_pair(resize), strict=True):
                if length > limit:
                    raise ConfigurationError(
                        f"crop is {length}: it is at most what images are resized to, {limit}: name a larger "
                        "--resize, or --input for the whole image"
                    )

    def feature_description(self, weights_sha256: str) -> dict[str, Any]:
        """All that determines the features of an image."""
        settings = {
            name: value for name, value in self._determining("features").items() if name not in _DESCRIBED
        }
        return settings | {
            "version": 3,
            "weights": weights_sha256,
            "protocol": self.preprocessing.description(),
            "levels": list(self.levels),
        }

    def map_description(self) -> dict[str, Any]:
        """What determines the anomaly maps of every method, given its pixel scores."""
        return self._determining("maps")

    def comparison_description(self) -> dict[str, Any]:
        """Every setting of the scores but the weights' file: with other weights it is the same one."""
        return self.values() | {"weights": None} | dict.fromkeys(self._determining("verdicts"))

    def _determining(self, part: str) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name, declared, _ in declarations(Configuration)
            if declared.determines == part
        }
