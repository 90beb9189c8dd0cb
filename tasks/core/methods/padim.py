"""PaDiM: a Gaussian at each position."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.common import check_levels
from tasks.core.methods.interface import Method, Pyramid, Query, Scorer, Scores, State, Training
from tasks.core.networks.known import STRIDES
from tasks.core.networks.traits import Level
from tasks.core.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

_WIDE, _DIMENSIONS_OF_WIDE, _DIMENSIONS = 1792, 550, 100  # wide_resnet50_2's channels; the paper's choices
_IMAGES = 8  # whose products are added at once
_BLOCK_BYTES = 2**28  # of covariances in float64, factorised at once


@dataclass(frozen=True)
class PaDiM(Method):
    """Mahalanobis distance of each patch to the Gaussian of its position.

    Defard, Setkov, Loesch, Audigier, "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection
    and Localization", arXiv 2011.08785. The levels are concatenated at the finest grid, coarse cells
    repeated, and a seeded random subset of the channels is kept. At each position, of N images,

        covariance = 1/(N - 1) sum (x - mean)(x - mean)^T + epsilon I      (equation 1)
        distance = sqrt((x - mean)^T covariance^-1 (x - mean))              (equation 2)

    The image score is the map's maximum.

    The state is the means (P, d) and the inverses of the covariances' lower Cholesky factors (P, d, d), in
    float32: 125 MB at 56x56 positions and d = 100, 3.8 GB at d = 550. Fitting takes two passes over the
    images, and that memory and a little more than 1 GB at most.
    """

    name: ClassVar[str] = "padim"
    levels: tuple[Level, ...] = setting(STRIDES, "strides or layers of the levels, finest first")
    dimensions: int | None = setting(
        None,
        "channels of the subset; none for the paper's choice, 550 of wide_resnet50_2's, 100 of fewer",
        low=1,
    )
    epsilon: float = setting(0.01, "of the regularisation", above=0)
    seed: int = setting(0, "of the subset", low=0)

    def __post_init__(self) -> None:
        """Check each setting."""
        super().__post_init__()
        object.__setattr__(self, "levels", check_levels(self.levels))

    @property
    def reads(self) -> tuple[Level, ...]:
        """All its levels."""
        return self.levels

    def fit(self, training: Training) -> State:
        """Estimate the Gaussians: means in the first pass, covariances in the second."""
        import torch

        shapes = [np.shape(level) for level in training.pyramid(0)]
        height, width, _ = shapes[0]
        channels = self._subset(sum(shape[2] for shape in shapes))
        size, positions = len(channels), height * width
        mean = torch.zeros(positions, size, dtype=torch.float64)
        for pyramid in training.pyramids():
            mean += _vectors(pyramid, channels)
        mean = (mean / len(training)).float()
        factors = torch.zeros(positions, size, size)
        pyramids = training.pyramids()
        while batch := [_vectors(pyramid, channels) - mean for pyramid in islice(pyramids, _IMAGES)]:
            differences = torch.stack(batch, dim=1)
            factors.baddbmm_(differences.transpose(1, 2), differences)
        self._invert(factors, max(len(training) - 1, 1))
        return {
            "grid": np.array([height, width]),
            "channels": channels,
            "mean": mean.numpy(),
            "factors": factors.numpy(),
        }

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (the state is all)
        """Measure distances as lengths of whitened differences."""
        import torch

        mean, factors = torch.from_numpy(state["mean"]), torch.from_numpy(state["factors"])
        height, width = state["grid"].tolist()

        def score(query: Query) -> Scores:
            differences = _vectors(query.pyramid, state["channels"]) - mean
            distances = torch.bmm(factors, differences[:, :, None])[:, :, 0].norm(dim=1)
            return Scores(float(distances.max()), [distances.view(height, width).numpy()])

        return score

    def _subset(self, total: int) -> NDArray[np.int64]:
        wanted = self.dimensions or (_DIMENSIONS_OF_WIDE if total >= _WIDE else _DIMENSIONS)
        rng = np.random.default_rng(self.seed)
        return np.sort(rng.choice(total, min(wanted, total), replace=False))

    def _invert(self, products: Tensor, divisor: int) -> None:
        """Turn sums of products (P, d, d) into inverse Cholesky factors, in place, block by block."""
        import torch

        unit = torch.eye(products.shape[1], dtype=torch.float64)
        for block in torch.split(products, max(1, _BLOCK_BYTES // unit.nbytes)):
            lower = torch.linalg.cholesky(block.double() / divisor + self.epsilon * unit)
            block.copy_(torch.linalg.solve_triangular(lower, unit.expand_as(lower), upper=False))


def _vectors(pyramid: Pyramid, channels: NDArray[np.int64]) -> Tensor:
    """Patch vectors (P, d) float32."""
    import torch

    from tasks.core.matching.pyramid import concatenate

    levels = [torch.from_numpy(np.asarray(level, np.float32)) for level in pyramid]
    return concatenate(levels, "nearest").flatten(0, 1)[:, torch.from_numpy(channels)]
