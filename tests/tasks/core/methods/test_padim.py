from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from drawn_features import draw_query, draw_training

from tasks.core.methods import padim
from tasks.core.methods.interface import Training
from tasks.core.methods.padim import PaDiM

SIZES = {4: (6, 10, 3), 8: (3, 5, 5), 16: (2, 3, 4)}


@pytest.mark.parametrize("block_bytes", [1, 5 * 8 * 7 * 7, 2**28])
@pytest.mark.parametrize("count", [4, 19])
def test_distances_are_those_of_each_positions_own_gaussian(
    count: int,
    block_bytes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(padim, "_BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(count)
    training = draw_training(rng, count, SIZES)
    method = PaDiM(dimensions=7, epsilon=0.01)
    state = method.fit(training)
    channels = state["channels"].tolist()
    assert len(set(channels)) == 7
    assert set(channels) <= set(range(12))
    query = draw_query(rng, SIZES)
    found = method.scorer(state, training)(query)
    expected = np.zeros((6, 10))
    for i, j in product(range(6), range(10)):

        def vector(levels: Any, i: int = i, j: int = j) -> Any:
            parts = [level[i * len(level) // 6, j * level.shape[1] // 10] for level in levels]
            return np.concatenate(parts)[channels].astype(np.float64)

        normal = np.array([vector(levels) for levels in training.pyramids()])
        covariance = np.cov(normal, rowvar=False) + 0.01 * np.eye(7)
        difference = vector(query.pyramid) - normal.mean(axis=0)
        expected[i, j] = np.sqrt(difference @ np.linalg.inv(covariance) @ difference)
    np.testing.assert_allclose(found.maps[0], expected, rtol=2e-3)
    assert found.image == found.maps[0].max()


def test_the_subset_is_the_published_one_for_the_channels_there_are() -> None:
    def size(total: int) -> int:
        training = Training(np.zeros((2, 1), np.float32), lambda _: [np.zeros((1, 1, total), np.float32)])
        return len(PaDiM(levels=(4,)).fit(training)["channels"])

    assert [size(total) for total in (60, 448, 1792)] == [60, 100, 550]


def test_another_seed_takes_another_subset() -> None:
    training = draw_training(np.random.default_rng(0), 2, SIZES)
    first, second = (PaDiM(dimensions=6, seed=seed).fit(training)["channels"] for seed in (0, 1))
    assert first.tolist() != second.tolist()
