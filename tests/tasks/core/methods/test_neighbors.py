from __future__ import annotations

import numpy as np
import pytest
from drawn_features import draw_image, draw_training
from sklearn.neighbors import NearestNeighbors

from tasks.core.methods.neighbors import DN2, NearestNeighbor
from tasks.core.methods.patches import sample_patches

SIZE = ((5, 7, 3),)


@pytest.mark.parametrize("k", [1, 2, 5, 40])
def test_dn2_is_the_mean_of_the_lowest_squared_distances(k: int) -> None:
    rng = np.random.default_rng(k)
    training = draw_training(rng, 11, (), width=13)
    score = DN2(k=k).scorer(DN2(k=k).fit(training))
    embedding, _ = draw_image(rng, (), width=13)
    squared = [
        sum((float(a) - float(b)) ** 2 for a, b in zip(embedding, other, strict=True))
        for other in training.embeddings
    ]
    lowest = sorted(squared)[:k]
    assert score(embedding, ()).image == pytest.approx(sum(lowest) / len(lowest), rel=1e-6)


def test_nearest_neighbor_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    training = draw_training(rng, 9, SIZE)
    method = NearestNeighbor()
    score = method.scorer(method.fit(training))
    embedding, pyramid = draw_image(rng, SIZE)
    found = score(embedding, pyramid)
    patches = np.concatenate([levels[0].reshape(-1, 3) for levels in training.pyramids()]).astype(np.float64)
    distances, _ = NearestNeighbors(n_neighbors=1).fit(patches).kneighbors(pyramid[0].reshape(-1, 3))
    assert found.map is not None
    np.testing.assert_allclose(found.map, distances.reshape(5, 7) ** 2, rtol=1e-4, atol=1e-5)
    distances, _ = NearestNeighbors(n_neighbors=1).fit(training.embeddings).kneighbors(embedding[None])
    assert found.image == pytest.approx(distances[0, 0] ** 2, rel=1e-5)


def test_a_sample_is_of_the_size_and_keeps_the_order() -> None:
    training = draw_training(np.random.default_rng(1), 4, SIZE)
    everything = [tuple(row) for levels in training.pyramids() for row in levels[0].reshape(-1, 3).tolist()]
    sample = [tuple(row) for row in sample_patches(training, 20, seed=5).tolist()]
    places = [everything.index(row) for row in sample]
    assert len(sample) == 20
    assert places == sorted(set(places))
    assert len(sample_patches(training, 1000, seed=5)) == len(everything)
    assert [tuple(row) for row in sample_patches(training, 20, seed=6).tolist()] != sample


def test_every_image_and_position_is_sampled() -> None:
    training = draw_training(np.random.default_rng(2), 4, SIZE)
    everything = [tuple(row) for levels in training.pyramids() for row in levels[0].reshape(-1, 3).tolist()]
    seen = {tuple(row) for seed in range(80) for row in sample_patches(training, 10, seed).tolist()}
    assert seen == set(everything)
