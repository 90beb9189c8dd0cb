"""The settings of SPADE, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Method
from tasks.core.networks.traits import Grids, Level, find_level, taken_levels
from tasks.core.settings import listed, setting

Fusion = Literal["concatenate", "average"]
Upsampling = Literal["bilinear", "nearest"]
Distance = Literal["squared", "euclidean", "cosine"]
Gallery = Literal["nearest", "random", "all"]
Retrieval = Literal["euclidean", "cosine"]
Normalization = Literal["none", "levels"]
ImageRule = Literal["embedding", "map", "unrestricted", "patches"]
Foreground = Literal["all", "component"]


@dataclass(frozen=True)
class SpadeSettings(Method):
    """What SPADE and its descendants can be told; the defaults are the paper's (arXiv 2005.02357v3).

    Levels are averaged, then normalised, then joined.
    """

    gallery: Gallery = setting(
        "nearest",
        "whose patches compete: training images nearest to the test image (section 3.1), random ones, or all",
        choices=get_args(Gallery),
        stated=True,
    )
    gallery_seed: int = setting(0, "of a random gallery", low=0)
    levels: tuple[Level, ...] = setting(
        (), "strides or layers of the levels that are matched; by default all that the network has"
    )
    fusion: Fusion = setting(
        "concatenate", "concatenate: all levels are matched at once; average: each on its own",
        choices=get_args(Fusion), stated=True,
    )  # fmt: skip
    upsampling: Upsampling = setting(
        "bilinear",
        "how coarse levels reach the finest grid when they are concatenated",
        choices=get_args(Upsampling),
    )
    distance: Distance = setting(
        "squared",
        "of patches: squared, its root, euclidean, or cosine, which is 1 - the cosine of matched vectors",
        choices=get_args(Distance),
        stated=True,
    )
    kappa: int = setting(
        1, "nearest gallery patches averaged in a pixel score (equation 3)", low=1, stated=True
    )
    k_image: int = setting(50, "nearest training images averaged in the image score (equation 2)", low=1)
    k_gallery: int = setting(50, "training images whose patches form the gallery", low=1)
    average: int = setting(
        1, "cells a side over which each level is averaged first, an odd number; 1 for none",
        low=1, stated=True, later=True,
    )  # fmt: skip
    normalization: Normalization = setting(
        "none", "levels: the vectors of each level are brought to length 1 before levels are joined",
        choices=get_args(Normalization), stated=True, later=True,
    )  # fmt: skip
    window: int = setting(
        0, "cells of the matched grid that a patch may lie away to compete; 0 if all of an image do",
        low=0, stated=True, later=True,
    )  # fmt: skip
    image_rule: ImageRule = setting(
        "embedding",
        "image score: embedding (equation 2), or mean of the highest 1 % of the map, of the map of a search "
        "without the window (unrestricted), or of the patches",
        choices=get_args(ImageRule),
        stated=True,
        later=True,
    )
    retrieval: Retrieval = setting(
        "euclidean", "by which distance of embeddings training images are nearest",
        choices=get_args(Retrieval), stated=True, later=True,
    )  # fmt: skip
    foreground: Foreground = setting(
        "all", "component: patches below a threshold along the first principal component score 0",
        choices=get_args(Foreground), stated=True, later=True,
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check each setting; strides become ascending."""
        super().__post_init__()
        object.__setattr__(self, "levels", taken_levels(self.levels))

    def settled(self, grids: Grids, images: int | None = None) -> Self:
        """The method with its levels, and with K at most the number of training images.

        Raises:
            ConfigurationError: the network has no such level, one image has fewer patches than kappa, or
                settings that mean nothing together.
        """
        named = self.levels or self.default_levels(tuple(grids))
        wanted = {find_level(level, grids) for level in named}
        levels = tuple(level for level in grids if level in wanted)
        matched = grids[levels[-1 if self.fusion == "average" else 0]]
        near = self.window + 1 if self.window else max(matched.rows, matched.columns)
        patches = min(near, matched.rows) * min(near, matched.columns)
        if self.kappa > patches:
            within = " of a window in a corner" if self.window else ""
            raise ConfigurationError(
                f"kappa is {self.kappa!r}: it is a whole number, from 1 to {patches}{within}"
            )
        self._check_together(levels)
        k_image, k_gallery = (min(k, images or k) for k in (self.k_image, self.k_gallery))
        if self.gallery == "all":
            k_gallery = images or self.k_gallery
        return replace(self, levels=levels, k_image=k_image, k_gallery=k_gallery)

    @staticmethod
    def default_levels(levels: tuple[Level, ...]) -> tuple[Level, ...]:
        """Those of a network that are matched where none are named, given all."""
        return levels

    def _check_together(self, levels: Sequence[Level]) -> None:
        """Raise ConfigurationError where settings mean nothing together."""
        if self.average % 2 == 0:
            raise ConfigurationError(f"average is {self.average!r}: it is an odd number of cells, as 3")
        alone = self.fusion == "average" or len(levels) == 1
        if self.normalization == "levels" and self.distance == "cosine" and alone:
            raise ConfigurationError(
                "normalization is 'levels': by cosine a level that is matched on its own is normalised "
                "already: drop the setting"
            )
        if self.image_rule == "unrestricted" and not self.window:
            raise ConfigurationError(
                "image_rule is 'unrestricted': without a window that is the map: name image_rule map"
            )
        if self.foreground == "component" and len(levels) != 1:
            raise ConfigurationError(
                f"foreground is 'component': it is found on one level: name one of {listed(levels)}"
            )

    def description(self) -> dict[str, Any]:
        """All that determines the scores; without a seed of no random gallery, or a K of no image score."""
        found = super().description() | {"gallery_seed": self.gallery_seed * (self.gallery == "random")}
        if self.image_rule != "embedding":
            del found["k_image"]
        return found
