from __future__ import annotations

import numpy as np
import pytest
from drawn_features import draw_query, draw_training
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM as SupportVectors

from tasks.core.methods.one_class_svm import OneClassSVM


@pytest.mark.parametrize("nu", [0.1, 0.5])
def test_scores_are_scikit_learns_decisions_turned_round(nu: float) -> None:
    rng = np.random.default_rng(0)
    size = (3, 5, 4)
    training = draw_training(rng, 23, {8: size}, width=7)
    method = OneClassSVM(nu=nu)
    state = method.fit(training)
    query = draw_query(rng, {8: size}, width=7)
    found = method.scorer(state, training)(query)
    of_images = make_pipeline(StandardScaler(), SupportVectors(nu=nu, gamma=1 / 7))
    of_images.fit(training.embeddings.astype(np.float64))
    assert found.image == pytest.approx(-of_images.decision_function(query.embedding[None])[0], abs=1e-7)
    patches = np.concatenate([levels[0].reshape(-1, 4) for levels in training.pyramids()]).astype(np.float64)
    of_patches = make_pipeline(StandardScaler(), SupportVectors(nu=nu, gamma=1 / 4)).fit(patches)
    expected = -of_patches.decision_function(query.pyramid[0].reshape(-1, 4).astype(np.float64))
    np.testing.assert_allclose(found.maps[0], expected.reshape(3, 5), atol=1e-5)
    assert state["patch_vectors"] == len(patches) == 345


def test_the_solver_sees_no_more_than_the_limit() -> None:
    training = draw_training(np.random.default_rng(1), 6, {8: (3, 5, 4)})
    state = OneClassSVM(limit=31, nu=0.5).fit(training)
    assert state["patch_vectors"] == 31
    assert 31 / 2 <= len(state["patch_support"]) <= 31
