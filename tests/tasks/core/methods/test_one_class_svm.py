from __future__ import annotations

import numpy as np
import pytest
from drawn_features import draw_image, draw_training
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM as SupportVectors

from tasks.core.methods.one_class_svm import OneClassSVM


@pytest.mark.parametrize("nu", [0.1, 0.5])
def test_scores_are_scikit_learns_decisions_turned_round(nu: float) -> None:
    rng = np.random.default_rng(0)
    size = (3, 5, 4)
    training = draw_training(rng, 23, (size,), width=7)
    method = OneClassSVM(nu=nu)
    state = method.fit(training)
    score = method.scorer(state)
    embedding, pyramid = draw_image(rng, (size,), width=7)
    found = score(embedding, pyramid)
    of_images = make_pipeline(StandardScaler(), SupportVectors(nu=nu, gamma=1 / 7))
    of_images.fit(training.embeddings.astype(np.float64))
    assert found.image == pytest.approx(-of_images.decision_function(embedding[None])[0], abs=1e-7)
    patches = np.concatenate([levels[0].reshape(-1, 4) for levels in training.pyramids()]).astype(np.float64)
    of_patches = make_pipeline(StandardScaler(), SupportVectors(nu=nu, gamma=1 / 4)).fit(patches)
    expected = -of_patches.decision_function(pyramid[0].reshape(-1, 4).astype(np.float64))
    assert found.map is not None
    np.testing.assert_allclose(found.map, expected.reshape(3, 5), atol=1e-5)
    assert state["patch_vectors"] == len(patches) == 345


def test_the_solver_sees_no_more_than_the_limit() -> None:
    training = draw_training(np.random.default_rng(1), 6, ((3, 5, 4),))
    state = OneClassSVM(limit=31, nu=0.5).fit(training)
    assert state["patch_vectors"] == 31
    assert 31 / 2 <= len(state["patch_support"]) <= 31
