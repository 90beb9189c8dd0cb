"""SPADE: nearest training images by their embeddings, and nearest patches in these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import JointScorer, Method, Pyramid, Query, Scorer, Scores, State, Training
from tasks.core.networks.traits import Grids, Level, find_level, taken_levels
from tasks.core.settings import setting

if TYPE_CHECKING:
    from tasks.core.matching.matching import Matching

Fusion = Literal["concatenate", "average"]
Upsampling = Literal["bilinear", "nearest"]
Distance = Literal["squared", "euclidean"]
Gallery = Literal["nearest", "random"]


@dataclass(frozen=True)
class Spade(Method):
    """Sub-image anomaly detection with deep pyramid correspondences; the defaults are the paper's.

    Cohen and Hoshen, arXiv 2005.02357v3. With the K training images whose embeddings are nearest, the image
    score is the mean of their squared distances (equation 2), and the score of a patch the mean squared
    distance to the kappa nearest of all patches of these images (equation 3). A K above the number of
    training images counts as that number.
    """

    name: ClassVar[str] = "spade"
    learns: ClassVar[bool] = False
    joint: ClassVar[bool] = True
    gallery: Gallery = setting(
        "nearest",
        "whose patches compete: training images nearest to the test image (section 3.1), or random ones",
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
        "squared", "of patches: squared, or its root, euclidean", choices=get_args(Distance), stated=True
    )
    kappa: int = setting(
        1, "nearest gallery patches averaged in a pixel score (equation 3)", low=1, stated=True
    )
    k_image: int = setting(50, "nearest training images averaged in the image score (equation 2)", low=1)
    k_gallery: int = setting(50, "training images whose patches form the gallery", low=1)

    def __post_init__(self) -> None:
        """Check each setting; strides become ascending."""
        super().__post_init__()
        object.__setattr__(self, "levels", taken_levels(self.levels))

    @property
    def reads(self) -> tuple[Level, ...]:
        """The levels that are matched."""
        return self.levels

    @property
    def gallery_reads(self) -> tuple[Level, ...]:
        """The same of the gallery."""
        return self.levels

    @property
    def depends_on_neighbors_alone(self) -> bool:
        """Unless the gallery is drawn from all training images."""
        return self.gallery == "nearest"

    @property
    def correspondence(self) -> Spade:
        """It says itself where the best match lies."""
        return self

    @property
    def neighbor_count(self) -> int:
        """Those of the image score and those of the gallery."""
        return max(self.k_image, self.k_gallery)

    def settled(self, grids: Grids, images: int | None = None) -> Self:
        """The method with its levels, and with K at most the number of training images.

        Raises:
            ConfigurationError: the network has no such level, or one image has fewer patches than kappa.
        """
        wanted = {find_level(level, grids) for level in self.levels} or grids.keys()
        levels = tuple(level for level in grids if level in wanted)
        matched = grids[levels[-1 if self.fusion == "average" else 0]]
        patches = matched.rows * matched.columns
        if self.kappa > patches:
            raise ConfigurationError(f"kappa is {self.kappa!r}: it is a whole number, from 1 to {patches}")
        k_image, k_gallery = (min(k, images or k) for k in (self.k_image, self.k_gallery))
        return replace(self, levels=levels, k_image=k_image, k_gallery=k_gallery)

    def description(self) -> dict[str, Any]:
        """All that determines the scores; the seed of a random gallery, where there is one."""
        return super().description() | {"gallery_seed": self.gallery_seed * (self.gallery == "random")}

    def fit(self, training: Training) -> State:  # noqa: ARG002 (images are compared as they are)
        """Learn nothing: the training images are the gallery."""
        return {}

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (there is none)
        """Retrieve, and match with the gallery."""
        return lambda query: score_together([self], query, training)[0]

    def image_scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (there is none)
        """Retrieve."""
        return lambda query: _retrieved(self, *training.nearest(query, self.neighbor_count))

    @classmethod
    def joint_scorer(
        cls,
        methods: Sequence[Self],
        states: Sequence[State],  # noqa: ARG003 (there are none)
        training: Training,
    ) -> JointScorer:
        """Retrieve once, and read each gallery once."""
        return lambda query: score_together(methods, query, training)

    def compared(self, query: Query, training: Training, neighbors: Sequence[int]) -> Sequence[int]:
        """Positions of the training images whose patches compete, given the nearest ones."""
        if self.gallery == "nearest":
            return neighbors[: self.k_gallery]
        return _random(self, query, training)[: self.k_gallery]

    @property
    def competitors(self) -> str:
        """Which training images these are, in words."""
        return f"{self.k_gallery} {self.gallery} training images"

    def grids(self, pyramid: Pyramid) -> list[NDArray[np.float32]]:
        """Patch vectors (H, W, C) as they are matched, of the matched levels: one grid, or one a level."""
        from tasks.core.matching.correspondence import matched_grids

        return matched_grids(pyramid, self.fusion, self.upsampling)

    def grid_levels(self) -> list[tuple[Level, ...]]:
        """The levels in each grid."""
        return [self.levels] if self.fusion == "concatenate" else [(level,) for level in self.levels]

    def matching(self, levels: Sequence[Level]) -> Matching:
        """How pyramids with these levels are matched."""
        from tasks.core.matching.matching import Matching

        return Matching(
            levels=tuple(levels.index(level) for level in self.levels),
            fusion=self.fusion,
            upsampling=self.upsampling,
            kappa=self.kappa,
            images=self.k_gallery,
        )


def score_together(methods: Sequence[Spade], query: Query, training: Training) -> list[Scores]:
    """Scores of one image under several settings, nothing computed twice.

    The query and the training images have the levels of all the methods, `training.levels`. An image's
    gallery is read once an order, and each search serves every K and kappa.
    """
    from tasks.core.matching.matching import match_each, patch_scores

    squared, near = training.nearest(query, max(method.neighbor_count for method in methods))
    matches: dict[Spade, list[NDArray[np.float32]]] = {}
    for rule in dict.fromkeys((method.gallery, method.gallery_seed) for method in methods):
        group = [method for method in methods if (method.gallery, method.gallery_seed) == rule]
        order = near if rule[0] == "nearest" else _random(group[0], query, training)
        images = order[: max(method.k_gallery for method in group)]
        gallery = (training.pyramid(int(position)) for position in images)
        matchings = [method.matching(training.levels) for method in group]
        found = match_each(query.pyramid, gallery, matchings, device=training.device)
        matches |= zip(group, found, strict=True)
    return [
        _retrieved(method, squared, near)._replace(
            maps=[patch_scores(each, method.distance) for each in matches[method]]
        )
        for method in methods
    ]


def _retrieved(method: Spade, squared: NDArray[np.float64], positions: NDArray[np.int64]) -> Scores:
    """The image score and the neighbours, given at least as many, nearest first."""
    count = method.neighbor_count
    image = float(squared[: method.k_image].mean())
    return Scores(image, (), positions[:count].tolist(), squared[:count].tolist())


def _random(method: Spade, query: Query, training: Training) -> list[int]:
    from tasks.core.matching.retrieval import random_order

    others = training.others(query).tolist()
    order = random_order([training.key(position) for position in others], query.key, method.gallery_seed)
    return [others[place] for place in order]
