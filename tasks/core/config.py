"""The settings that all methods share: of the features, and of the anomaly maps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tasks.core.errors import ConfigurationError
from tasks.core.networks.known import traits
from tasks.core.networks.traits import (
    INPUT_SIZE,
    Grid,
    Level,
    Precision,
    Preprocessing,
    Traits,
    taken_levels,
)
from tasks.core.settings import Settings, declarations, setting

Protocol = Literal["paper", "full", "full256"]
FeatureDtype = Literal["float16", "float32"]

DEFAULT_BATCH_SIZE = 16
DEFAULT_MEMORY_GIB = 2.0  # of pyramids, kept while scoring
DEFAULT_TOLERANCE = 0.005  # of a metric: what it may lose or gain before it is called worse or better
_GEOMETRIES: Mapping[Protocol, tuple[int, int]] = {  # of each protocol: resize and crop, pixels
    "paper": (256, INPUT_SIZE),
    "full": (INPUT_SIZE, INPUT_SIZE),
    "full256": (256, 256),
}


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

    def __post_init__(self) -> None:
        """Check each setting, and the filter against the maps."""
        super().__post_init__()
        object.__setattr__(self, "layers", taken_levels(self.layers, "layers"))
        if self.sigma >= self.metric_resolution:
            raise ConfigurationError(
                f"sigma is {self.sigma!r}: it is a number of pixels from 0 (no filter) "
                f"to below the metric resolution, {self.metric_resolution}"
            )

    @property
    def grids(self) -> dict[Level, Grid]:
        """The grid of each level, finest first."""
        return self._traits.grids

    @property
    def levels(self) -> tuple[Level, ...]:
        """Names of all levels, finest first."""
        return tuple(self.grids)

    @property
    def preprocessing(self) -> Preprocessing:
        """What an image goes through before the backbone."""
        found = self._traits
        return Preprocessing(*_GEOMETRIES[self.protocol], found.mean, found.std)

    @property
    def _traits(self) -> Traits:
        side = _GEOMETRIES[self.protocol][1]
        return traits(self.backbone, (side, side), self.layers)

    def feature_description(self, weights_sha256: str) -> dict[str, Any]:
        """All that determines the features of an image."""
        settings = {name: value for name, value in self._determining("features").items() if name != "layers"}
        return settings | {
            "version": 2,
            "weights": weights_sha256,
            "protocol": dataclasses.asdict(self.preprocessing),
            "levels": list(self.levels),
        }

    def map_description(self) -> dict[str, Any]:
        """What determines the anomaly maps of every method, given its pixel scores."""
        return self._determining("maps")

    def comparison_description(self) -> dict[str, Any]:
        """Every setting but the weights' file: with other weights it is the same configuration."""
        return self.values() | {"weights": None}

    def _determining(self, part: str) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name, declared, _ in declarations(Configuration)
            if declared.determines == part
        }
