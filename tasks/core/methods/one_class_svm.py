"""One-class support vector machines on embeddings and on patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.common import patch_vectors, sample_patches
from tasks.core.methods.interface import LevelMethod, Query, Scorer, Scores, State, Training
from tasks.core.networks.traits import Level
from tasks.core.settings import setting


@dataclass(frozen=True)
class OneClassSVM(LevelMethod):
    """Distance outside the boundary that holds all but a share `nu` of the normal vectors.

    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", 2001; scikit-learn's
    solver, with the kernel exp(-|x - y|² / D) on D standardised dimensions:

        score(x) = rho - sum over support vectors x_i of alpha_i exp(-|x_i - x|² / D)

    Embeddings are standardised, as are patches, because a few wide dimensions would otherwise be the whole
    kernel. One machine learns the embeddings, another a seeded sample of at most `limit` patches of one
    level: time and memory of the solver grow with its square (5,000 patches: 200 MB at most).
    """

    name: ClassVar[str] = "one_class_svm"
    nu: float = setting(
        0.1, "share of the training vectors outside the boundary", above=0, below=1, noun="share"
    )
    level: Level = setting(8, "stride or layer of the level whose patches are learned")
    limit: int = setting(5_000, "patches that are learned, at most", low=1)
    seed: int = setting(0, "of their sample", low=0)

    def fit(self, training: Training) -> State:
        """Solve for both machines."""
        patches = sample_patches(training, self.limit, self.seed)
        return _learn("image", training.embeddings, self.nu) | _learn("patch", patches, self.nu)

    def scorer(self, state: State, training: Training) -> Scorer:  # noqa: ARG002 (the state is all)
        """Measure both machines' boundaries."""
        of_image, of_patches = _boundary("image", state), _boundary("patch", state)

        def score(query: Query) -> Scores:
            vectors, grid = patch_vectors(query.pyramid[0])
            pixels = of_patches(vectors).reshape(grid).astype(np.float32)
            return Scores(float(of_image(query.embedding[None])[0]), [pixels])

        return score


def _learn(part: str, vectors: NDArray[np.float32], nu: float) -> State:
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import OneClassSVM as SupportVectors

    exact = vectors.astype(np.float64)
    scaler = StandardScaler().fit(exact)
    machine = SupportVectors(nu=nu, gamma=1 / exact.shape[1]).fit(scaler.transform(exact))
    arrays = {
        "mean": scaler.mean_,
        "scale": scaler.scale_,
        "support": machine.support_vectors_,
        "alpha": machine.dual_coef_[0],
        "rho": -machine.intercept_,
        "vectors": np.array(len(vectors)),
    }
    return {f"{part}_{name}": values for name, values in arrays.items()}


def _boundary(part: str, state: State) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    mean, scale, support, alpha, rho = (
        state[f"{part}_{name}"] for name in ("mean", "scale", "support", "alpha", "rho")
    )
    norms = (support**2).sum(axis=1)

    def outside(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        scaled = (vectors - mean) / scale
        squared = (scaled**2).sum(axis=1)[:, None] + norms - 2 * (scaled @ support.T)
        return np.asarray(rho - np.exp(squared / -scaled.shape[1]) @ alpha)

    return outside
