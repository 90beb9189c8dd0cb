"""Nearest neighbours: DN2 on embeddings, and the baseline that does the same to patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.core.matching.retrieval import build_index, embedding_score, nearest
from tasks.core.methods.interface import Pyramid, Scorer, Scores, State, Training
from tasks.core.methods.patches import patch_vectors, sample_patches
from tasks.core.methods.settings import check_whole


@dataclass(frozen=True)
class DN2:
    """Mean squared distance of the embedding to its k nearest; k above the number of images counts as that.

    Bergman, Cohen, Hoshen, "Deep Nearest Neighbor Anomaly Detection", arXiv 2002.10445, section 3; it is the
    first stage of SPADE. There is no map.

        score(y) = 1/k sum over the k nearest f of |f - f_y|²

    The state is the embeddings (N, D).
    """

    name: ClassVar[str] = "dn2"
    strides: ClassVar[tuple[int, ...]] = ()
    k: int = 2

    def __post_init__(self) -> None:
        """Check each setting; ConfigurationError names the first that is wrong."""
        check_whole(k=self.k)

    def fit(self, training: Training) -> State:
        """Keep the embeddings."""
        return {"embeddings": training.embeddings.astype(np.float32)}

    def scorer(self, state: State) -> Scorer:
        """Search the embeddings exactly."""
        index = build_index(state["embeddings"])
        k = min(self.k, index.ntotal)

        def score(embedding: NDArray[np.float32], _pyramid: Pyramid) -> Scores:
            squared, _ = nearest(index, embedding[None], k)
            return Scores(float(embedding_score(squared)[0]), None)

        return score


@dataclass(frozen=True)
class NearestNeighbor:
    """Squared distance to the one nearest training embedding, and of each patch to the nearest patch.

    All patches of one level of all training images compete; where there are more than `limit`, a seeded
    sample of that size does. The state is the embeddings (N, D) and the patches (at most `limit`, C), which
    is also what fitting holds in memory, beside one image.
    """

    name: ClassVar[str] = "nearest_neighbor"
    stride: int = 4
    limit: int = 100_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check each setting; ConfigurationError names the first that is wrong."""
        check_whole(stride=self.stride, limit=self.limit)

    @property
    def strides(self) -> tuple[int, ...]:
        """The one level that is searched."""
        return (self.stride,)

    def fit(self, training: Training) -> State:
        """Keep the embeddings and the patches."""
        patches = sample_patches(training, self.limit, self.seed)
        return DN2().fit(training) | {"patches": patches}

    def scorer(self, state: State) -> Scorer:
        """Search embeddings and patches exactly."""
        images = DN2(k=1).scorer(state)
        patches = build_index(state["patches"])

        def score(embedding: NDArray[np.float32], pyramid: Pyramid) -> Scores:
            vectors, grid = patch_vectors(pyramid[0])
            squared, _ = nearest(patches, vectors, 1)
            return Scores(images(embedding, ()).image, squared.reshape(grid).astype(np.float32))

        return score
