"""Nearest neighbours: DN2 on embeddings, and the baseline that does the same to patches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from tasks.core.methods.common import patch_vectors, sample_patches
from tasks.core.methods.interface import LevelMethod, Method, Query, Scorer, Scores, State, Training
from tasks.core.networks.traits import Grids, Level
from tasks.core.settings import setting


@dataclass(frozen=True)
class DN2(Method):
    """Mean squared distance of the embedding to its k nearest; k above the number of images counts as that.

    Bergman, Cohen, Hoshen, "Deep Nearest Neighbor Anomaly Detection", arXiv 2002.10445, section 3; it is the
    first stage of SPADE. There is no map.

        score(y) = 1/k sum over the k nearest f of |f - f_y|²

    The training embeddings are searched as they are: nothing is learned.
    """

    name: ClassVar[str] = "dn2"
    learns: ClassVar[bool] = False
    has_map: ClassVar[bool] = False
    k: int = setting(2, "nearest training images averaged", low=1)

    @property
    def depends_on_neighbors_alone(self) -> bool:
        """It does."""
        return True

    @property
    def neighbor_count(self) -> int:
        """Those that are averaged."""
        return self.k

    def settled(self, grids: Grids, images: int | None = None) -> Self:  # noqa: ARG002
        """The method with k at most the number of training images."""
        return replace(self, k=min(self.k, images or self.k))

    def fit(self, training: Training) -> State:  # noqa: ARG002 (images are compared as they are)
        """Learn nothing."""
        return {}

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (there is none)
        """Search the embeddings exactly."""

        def score(query: Query) -> Scores:
            squared, positions = training.nearest(query, self.k)
            return Scores(float(squared.mean()), (), positions.tolist(), squared.tolist())

        return score


@dataclass(frozen=True)
class NearestNeighbor(LevelMethod):
    """Squared distance to the one nearest training embedding, and of each patch to the nearest patch.

    All patches of one level of all training images compete; where there are more than `limit`, a seeded
    sample of that size does. The state is the patches (at most `limit`, C), which is also what fitting holds
    in memory, beside one image.
    """

    name: ClassVar[str] = "nearest_neighbor"
    level: Level = setting(4, "stride or layer of the level that is searched")
    limit: int = setting(100_000, "patches that compete, at most", low=1)
    seed: int = setting(0, "of the sample", low=0)

    @property
    def neighbor_count(self) -> int:
        """The nearest one."""
        return 1

    def fit(self, training: Training) -> State:
        """Keep the patches."""
        return {"patches": sample_patches(training, self.limit, self.seed)}

    def scorer(self, state: State, training: Training) -> Scorer:
        """Search embeddings and patches exactly."""
        from tasks.core.matching.retrieval import build_index, nearest

        images = DN2(k=1).scorer({}, training)
        patches = build_index(state["patches"])

        def score(query: Query) -> Scores:
            vectors, grid = patch_vectors(query.pyramid[0])
            squared, _ = nearest(patches, vectors, 1)
            return images(query)._replace(maps=[squared.reshape(grid).astype(np.float32)])

        return score
