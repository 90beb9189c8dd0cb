from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tasks.core.methods import coreset as module
from tasks.core.methods.coreset import random_projection
from tasks.core.methods.points import Points


def greedy_coreset(
    points: NDArray[np.float32], count: int, seed: int, memory: float = float("inf")
) -> NDArray[np.int64]:
    with Points.of(points, memory) as stored:
        return module.greedy_coreset(stored, count, seed)


def plain_greedy(points: NDArray[np.float32], count: int, first: int) -> list[int]:
    chosen = [first]
    exact = points.astype(np.float64)
    nearest = ((exact - exact[first]) ** 2).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((exact - exact[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


@pytest.mark.parametrize(("candidates", "centres"), [(1, 1), (2, 5), (17, 3), (64, 256), (1024, 256)])
@pytest.mark.parametrize("clustered", [False, True])
def test_the_choice_is_exactly_greedy(
    candidates: int, centres: int, clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CANDIDATES", candidates)
    monkeypatch.setattr(module, "_CENTRES", centres)
    rng = np.random.default_rng(candidates)
    points = rng.normal(size=(531, 11)).astype(np.float32)
    if clustered:
        points = points * 0.1 + rng.normal(size=(7, 11)).astype(np.float32)[rng.integers(7, size=531)]
    found = greedy_coreset(points, 203, seed=1)
    assert found.tolist() == plain_greedy(points, 203, int(found[0]))
    for memory in (0, 4 * 11 * 200):
        assert greedy_coreset(points, 203, seed=1, memory=memory).tolist() == found.tolist()


@given(
    values=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    share=st.floats(0.01, 1),
    candidates=st.sampled_from([1, 4, 1024]),
)
def test_points_that_coincide_are_chosen_once_and_last(
    values: list[int], share: float, candidates: int
) -> None:
    points = np.array(values, np.float32)[:, None]
    count = max(1, int(share * len(points)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CANDIDATES", candidates)
        chosen = greedy_coreset(points, count, seed=0)
    assert len(set(chosen.tolist())) == count
    distinct = len(set(values))
    assert len({values[position] for position in chosen[:distinct]}) == min(count, distinct)


def test_the_seed_chooses_the_first() -> None:
    points = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    firsts = {int(greedy_coreset(points, 1, seed)[0]) for seed in range(20)}
    assert len(firsts) > 10


@pytest.mark.parametrize("count", [0, 6])
def test_a_count_out_of_range_is_named(count: int) -> None:
    with pytest.raises(ValueError, match=f"count is {count}: there are 5 points"):
        greedy_coreset(np.zeros((5, 2), np.float32), count, seed=0)


def test_a_projection_nearly_keeps_distances() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 300)).astype(np.float32)
    projected = points @ random_projection(300, 128, seed=2)
    for a, b in ((0, 1), (5, 30), (12, 39)):
        ratio = np.linalg.norm(projected[a] - projected[b]) / np.linalg.norm(points[a] - points[b])
        assert 0.7 < ratio < 1.3
