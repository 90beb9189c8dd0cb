"""SPADE: nearest training images by their embeddings, and nearest patches in these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.interface import JointScorer, Pyramid, Query, Scorer, State, Training
from tasks.core.methods.spade_settings import SpadeSettings
from tasks.core.networks.traits import Level

if TYPE_CHECKING:
    from tasks.core.matching.matching import Matching
    from tasks.core.matching.preparation import Preparation


@dataclass(frozen=True)
class Spade(SpadeSettings):
    """Sub-image anomaly detection with deep pyramid correspondences; the defaults are the paper's.

    Cohen and Hoshen, arXiv 2005.02357v3. With the K training images whose embeddings are nearest, the image
    score is the mean of their squared distances (equation 2), and the score of a patch the mean squared
    distance to the kappa nearest of all patches of these images (equation 3). A K above the number of
    training images counts as that number.
    """

    name: ClassVar[str] = "spade"
    learns: ClassVar[bool] = False
    joint: ClassVar[bool] = True

    @property
    def reads(self) -> tuple[Level, ...]:
        """The levels that are matched."""
        return self.levels

    @property
    def image_reads(self) -> tuple[Level, ...]:
        """The same, where the image score is one of patches."""
        return () if self.image_rule == "embedding" else self.levels

    @property
    def gallery_reads(self) -> tuple[Level, ...]:
        """The same of the gallery."""
        return self.levels

    @property
    def depends_on_neighbors_alone(self) -> bool:
        """Unless the gallery is drawn from all training images, or is all of them."""
        return self.gallery == "nearest"

    @property
    def correspondence(self) -> Spade:
        """It says itself where the best match lies."""
        return self

    @property
    def neighbor_count(self) -> int:
        """Those of the image score and those of the gallery."""
        return max(
            self.k_image if self.image_rule == "embedding" else 0,
            self.k_gallery if self.gallery != "all" else 0,
        )

    def nearest(self, query: Query, training: Training) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distances and positions of these, by embeddings as they are compared."""
        return training.nearest(query, self.neighbor_count, cosine=self.retrieval == "cosine")

    def fit(self, training: Training) -> State:  # noqa: ARG002 (images are compared as they are)
        """Learn nothing: the training images are the gallery."""
        return {}

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (there is none)
        """Retrieve, and match with the gallery."""
        from tasks.core.methods.retrieve_and_match import score_together

        return lambda query: score_together([self], query, training)[0]

    def image_scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (there is none)
        """Retrieve, and match where the image score is one of patches."""
        from tasks.core.methods.retrieve_and_match import score_image

        return lambda query: score_image(self, query, training)

    @classmethod
    def joint_scorer(
        cls,
        methods: Sequence[Self],
        states: Sequence[State],  # noqa: ARG003 (there are none)
        training: Training,
    ) -> JointScorer:
        """Retrieve once, and read each gallery once."""
        from tasks.core.methods.retrieve_and_match import score_together

        return lambda query: score_together(methods, query, training)

    def compared(self, query: Query, training: Training, neighbors: Sequence[int]) -> Sequence[int]:
        """Positions of the training images whose patches compete, given the nearest ones."""
        if self.gallery == "nearest":
            return neighbors[: self.k_gallery]
        if self.gallery == "all":
            return [int(position) for position in training.others(query)]
        return self.drawn(query, training)[: self.k_gallery]

    def drawn(self, query: Query, training: Training) -> list[int]:
        """Positions of the training images in the order of a random gallery."""
        from tasks.core.matching.retrieval import random_order

        others = training.others(query).tolist()
        order = random_order([training.key(position) for position in others], query.key, self.gallery_seed)
        return [others[place] for place in order]

    @property
    def competitors(self) -> str:
        """Which training images these are, in words."""
        if self.gallery == "all":
            return "all training images"
        return f"{self.k_gallery} {self.gallery} training images"

    @property
    def measure(self) -> str:
        """The distance, in words; the root is not taken where single patches are compared."""
        return "1 - cosine" if self.distance == "cosine" else "squared distance"

    def measured(self, squared: float) -> float:
        """1 - cosine is half the squared distance of vectors of length 1."""
        return squared / 2 if self.distance == "cosine" else squared

    def grids(self, pyramid: Pyramid) -> list[NDArray[np.float32]]:
        """Patch vectors (H, W, C) as they are matched, of the matched levels: one grid, or one a level."""
        from tasks.core.matching.correspondence import matched_grids

        return matched_grids(pyramid, self.fusion, self.upsampling, self.preparation)

    def grid_levels(self) -> list[tuple[Level, ...]]:
        """The levels in each grid."""
        return [self.levels] if self.fusion == "concatenate" else [(level,) for level in self.levels]

    @property
    def preparation(self) -> Preparation:
        """What is done to levels first."""
        from tasks.core.matching.preparation import Preparation

        return Preparation(self.average, self.normalization == "levels", self.distance == "cosine")

    def matching(self, levels: Sequence[Level]) -> Matching:
        """How pyramids with these levels are matched."""
        from tasks.core.matching.matching import Matching

        return Matching(
            levels=tuple(levels.index(level) for level in self.levels),
            fusion=self.fusion,
            upsampling=self.upsampling,
            kappa=self.kappa,
            images=self.k_gallery,
            preparation=self.preparation,
            window=self.window,
        )
