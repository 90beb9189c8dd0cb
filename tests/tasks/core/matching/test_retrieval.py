from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.matching.retrieval import build_index, nearest, random_order


def test_neighbours_agree_with_plain_loops() -> None:
    rng = np.random.default_rng(0)
    rows, queries = rng.normal(size=(37, 11)).astype(np.float32), rng.normal(size=(23, 11)).astype(np.float32)
    squared, positions = nearest(build_index(rows), queries, 5)
    for query, distances, found in zip(queries, squared, positions, strict=True):
        pairs = sorted(
            (sum((float(a) - float(b)) ** 2 for a, b in zip(query, row, strict=True)), i)
            for i, row in enumerate(rows)
        )
        assert found.tolist() == [i for _, i in pairs[:5]]
        np.testing.assert_allclose(distances, [d for d, _ in pairs[:5]], rtol=1e-9)


def test_distances_do_not_depend_on_the_other_queries() -> None:
    rng = np.random.default_rng(1)
    index = build_index(rng.normal(size=(100, 64)).astype(np.float32))
    queries = rng.normal(size=(50, 64)).astype(np.float32)
    together, _ = nearest(index, queries, 7)
    alone = np.concatenate([nearest(index, query[None], 7)[0] for query in queries])
    np.testing.assert_array_equal(together, alone)


def test_equal_distances_are_in_order_of_position() -> None:
    rows = np.array([[1, 0], [5, 5], [0, 1], [-1, 0]], np.float32)
    squared, positions = nearest(build_index(rows), np.zeros((1, 2), np.float32), 3)
    assert positions.tolist() == [[0, 2, 3]]
    assert squared.tolist() == [[1, 1, 1]]


def test_what_faiss_would_answer_with_minus_one_is_refused() -> None:
    index = build_index(np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="k is 4: the index has 3 rows"):
        nearest(index, np.zeros((1, 2), np.float32), 4)
    with pytest.raises(ValueError, match="not finite"):
        nearest(index, np.full((1, 2), np.nan, np.float32), 1)


@given(keys=st.lists(st.text(max_size=3)), query=st.text(max_size=3), seed=st.integers(0, 2**40))
def test_a_random_order_has_each_once_and_is_the_same_again(keys: list[str], query: str, seed: int) -> None:
    order = random_order(keys, query, seed)
    assert sorted(order) == list(range(len(keys)))
    assert random_order(keys, query, seed) == order


def test_random_orders_differ_by_seed_and_query_and_keep_when_images_come() -> None:
    keys = [f"{number:03}" for number in range(40)]
    orders = [random_order(keys, *which) for which in (("a", 0), ("a", 1), ("b", 0))]
    assert len({tuple(order) for order in orders}) == 3
    grown = [keys[position] for position in orders[0]]
    assert [keys[position] for position in random_order(keys[:30], "a", 0)] == [k for k in grown if k < "030"]


def test_each_image_is_drawn_about_as_often() -> None:
    first = [random_order([str(key) for key in range(5)], str(query), 0)[0] for query in range(1000)]
    assert all(150 < count < 250 for count in np.bincount(first))
