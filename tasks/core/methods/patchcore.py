"""PatchCore: the nearest of a coreset of locally averaged patches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.common import check_levels
from tasks.core.methods.interface import Method, Query, Scorer, Scores, State, Training
from tasks.core.networks.traits import Level
from tasks.core.settings import setting


@dataclass(frozen=True)
class PatchCore(Method):
    """Distance of each patch to the nearest of a coreset of all training patches.

    Roth, Pemula, Zepeda, Schölkopf, Brox, Gehler, "Towards Total Recall in Industrial Anomaly Detection",
    arXiv 2106.08265, section 3. Patches are averaged over 3x3 positions (those inside the level), the
    coarser level is upsampled bilinearly to the finer grid, each level's channels are pooled to `dimension`,
    and the levels together once more to `dimension`. Adaptive pooling also widens: a level with fewer
    channels has them repeated, so that levels weigh the same.

    Of all patches a share is kept, chosen greedily (algorithm 1) by seeded random projections. With m* the
    member nearest to the patch x* that is farthest from its nearest, at s* = |x* - m*|, the image score is

        (1 - exp(s*) / sum over the b members m nearest to m* of exp|x* - m|) s*      (equation 7)

    The b members include m* itself. The map holds the distances, not squared.

    Fitting takes two passes over the images, N · P · distances to `share` · N · P centres (2.7e9 for 209
    images of 28x28 patches), and N · P · `projection` · 4 bytes (84 MB for these, 281 MB for 700), of which
    those beyond the memory of the training lie in a temporary file; the members are the same. Besides that
    memory and the members there are the patches of 4096 positions, or of an image whose levels cannot be cut
    (`local_patches.py`): about 24 · `dimension` bytes a position, 0.1 GB.
    The state is the members (share · N · P, dimension) float32: 67 MB for 209 images.
    """

    name: ClassVar[str] = "patchcore"
    levels: tuple[Level, ...] = setting((8, 16), "strides or layers of the levels, finest first")
    share: float = setting(0.1, "of all patches that are kept", above=0, high=1, noun="share")
    dimension: int = setting(1024, "channels of a patch after pooling", low=1)
    projection: int = setting(128, "dimensions of the random projections that the choice is made by", low=1)
    neighbors: int = setting(9, "members that weigh an image score", low=1)
    seed: int = setting(0, "of projections and first member", low=0)

    def __post_init__(self) -> None:
        """Check each setting."""
        super().__post_init__()
        object.__setattr__(self, "levels", check_levels(self.levels))

    @property
    def reads(self) -> tuple[Level, ...]:
        """All its levels."""
        return self.levels

    def fit(self, training: Training) -> State:
        """Project all patches, choose the members, and read those again."""
        from tasks.core.methods.coreset import BYTES_A_POINT, greedy_coreset, random_projection
        from tasks.core.methods.points import Points

        matrix = random_projection(self.dimension, self.projection, self.seed)
        count = len(training) * int(np.prod(np.shape(training.pyramid(0)[0])[:2]))
        with Points(count, self.projection, training.memory - BYTES_A_POINT * count) as points:
            for patches in self._patches(training):
                points.append(patches @ matrix)
            chosen = np.sort(greedy_coreset(points, max(1, int(self.share * count)), self.seed))
        members = np.empty((len(chosen), self.dimension), np.float32)
        start = 0
        for patches in self._patches(training):
            first, last = np.searchsorted(chosen, [start, start + len(patches)])
            members[first:last] = patches[chosen[first:last] - start]
            start += len(patches)
        return {"members": members}

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (the state is all)
        """Search the members exactly."""
        from tasks.core.matching.retrieval import build_index, nearest
        from tasks.core.methods.local_patches import local_patches

        members = state["members"]
        index = build_index(members)
        count = min(self.neighbors, len(members))

        def score(query: Query) -> Scores:
            distances, farthest = [], (-1.0, 0, np.empty(0, np.float32))
            for patches in local_patches(query.pyramid, self.dimension):
                squared, positions = nearest(index, patches, 1)
                distances.append(np.sqrt(squared[:, 0]))
                place = int(distances[-1].argmax())
                if distances[-1][place] > farthest[0]:
                    farthest = float(distances[-1][place]), int(positions[place, 0]), patches[place]
            distance, member, patch = farthest
            _, around = nearest(index, members[[member]], count)
            others = np.linalg.norm(members[around[0]].astype(np.float64) - patch, axis=1)
            grid = np.shape(query.pyramid[0])[:2]
            anomaly_map = np.concatenate(distances).reshape(grid).astype(np.float32)
            return Scores(reweighted(distance, others), [anomaly_map])

        return score

    def _patches(self, training: Training) -> Iterator[NDArray[np.float32]]:
        """All patches, arrays (n, dimension) that follow each other; one image is in memory at a time."""
        from tasks.core.methods.local_patches import local_patches

        for pyramid in training.pyramids():
            yield from local_patches(pyramid, self.dimension)
            del pyramid


def reweighted(distance: float, others: NDArray[np.float64]) -> float:
    """Equation 7: `distance` times one less its share among exponentials of distances to `others` (b,).

    `others` include the nearest itself; a lone one would leave nothing, and keeps its distance.
    """
    if len(others) == 1:
        return distance
    highest = others.max()
    return distance * (1 - math.exp(distance - highest) / float(np.exp(others - highest).sum()))
