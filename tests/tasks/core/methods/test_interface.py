"""What holds for every method that scores by itself; ensembles: tests/tasks/methods/test_ensemble.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_features import Sizes, draw_query, draw_training, square_grids

from tasks.core.errors import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method, Query, Scores, Training
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.registry import METHODS, parse_method
from tasks.core.methods.spade import Spade
from tasks.core.settings import make

SIZES: Sizes = {4: (6, 10, 3), 8: (3, 5, 5), 16: (2, 3, 4)}
GRIDS = square_grids({4: 8, 8: 4, 16: 2})
COARSE = square_grids({14: 16})
SMALL: dict[str, dict[str, Any]] = {
    "spade": {"k_image": 3, "k_gallery": 2, "levels": (4, 16)},
    "rad": {"k_gallery": 3, "levels": (8,)},
    "anomalydino": {"levels": (8,)},
    "dn2": {"k": 3},
    "nearest_neighbor": {"limit": 50},
    "one_class_svm": {"limit": 40, "nu": 0.3},
    "padim": {"dimensions": 7},
    "patchcore": {"share": 0.3, "dimension": 6, "projection": 4, "neighbors": 3},
}


def small(name: str) -> Method:
    method: Method = make(METHODS[name], name, SMALL[name])
    return method


def sizes_of(method: Method) -> Sizes:
    return {stride: SIZES[stride] for stride in method.reads}


def assert_equal(first: Scores, second: Scores) -> None:
    assert first.image == second.image
    assert first.neighbors == second.neighbors
    assert first.squared_distances == second.squared_distances
    for one, other in zip(first.maps, second.maps, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_method_is_tried() -> None:
    assert SMALL.keys() | {"ensemble"} == METHODS.keys()


@pytest.mark.parametrize("name", SMALL)
def test_a_stored_state_scores_as_before_and_is_the_same_again(name: str, tmp_path: Path) -> None:
    method = small(name)
    rng = np.random.default_rng(3)
    training = draw_training(rng, 7, sizes_of(method))
    state = method.fit(training)
    assert bool(state) == method.learns
    np.savez(tmp_path / "state.npz", allow_pickle=False, **state)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        loaded = {key: stored[key] for key in state}
    again = small(name).fit(training)
    for key in state:
        np.testing.assert_array_equal(state[key], again[key])
    scorers = [method.scorer(state, training), method.scorer(loaded, training)]
    for _ in range(3):
        query = draw_query(rng, sizes_of(method))
        first, second = (scorer(query) for scorer in scorers)
        assert np.isfinite(first.image)
        assert_equal(first, second)
        assert bool(first.maps) == method.has_map
        assert len(first.neighbors) == len(first.squared_distances) == method.neighbor_count
        for pixels in first.maps:
            assert pixels.dtype == np.float32
            assert pixels.shape == sizes_of(method)[method.reads[0]][:2]
            assert np.isfinite(pixels).all()


@pytest.mark.parametrize("name", SMALL)
def test_an_image_far_from_all_normal_ones_scores_higher(name: str) -> None:
    method = small(name)
    rng = np.random.default_rng(4)
    sizes = {stride: (height, width, 24) for stride, (height, width, _) in sizes_of(method).items()}
    training = draw_training(rng, 9, sizes)
    score = method.scorer(method.fit(training), training)
    query = draw_query(rng, sizes)
    broken = [np.array(level) for level in query.pyramid]
    for level in broken:
        level[:1, :2, :12] += 40
        level[:1, :2, 12:] -= 40  # also another direction
    normal, anomalous = score(query), score(Query(query.embedding + 40, broken))
    assert anomalous.image > normal.image
    for before, after in zip(normal.maps, anomalous.maps, strict=True):
        assert np.unravel_index(after.argmax(), after.shape)[0] <= 2
        assert after.max() > before.max()


@pytest.mark.parametrize("name", SMALL)
def test_one_training_image_is_enough(name: str) -> None:
    method = small(name)
    rng = np.random.default_rng(5)
    training = draw_training(rng, 1, sizes_of(method))
    settled = method.settled(GRIDS, 1)
    found = settled.scorer(settled.fit(training), training)(draw_query(rng, sizes_of(method)))
    assert np.isfinite(found.image)
    assert list(found.neighbors) == [0] * settled.neighbor_count


@pytest.mark.parametrize("name", SMALL)
def test_the_image_score_alone_is_the_one_beside_the_map(name: str) -> None:
    method = small(name)
    rng = np.random.default_rng(6)
    training = draw_training(rng, 7, sizes_of(method))
    state, query = method.fit(training), draw_query(rng, sizes_of(method))
    whole, alone = method.scorer(state, training)(query), method.image_scorer(state, training)(query)
    assert_equal(whole._replace(maps=alone.maps), alone)


@pytest.mark.parametrize("name", SMALL)
def test_settings_that_are_scored_together_score_as_each_alone(name: str) -> None:
    method = small(name)
    others: dict[str, dict[str, Any]] = {
        "spade": {"kappa": 2}, "rad": {"window": 2}, "anomalydino": {"average": 3},
        "dn2": {"k": 1}, "nearest_neighbor": {"limit": 9},
        "one_class_svm": {"nu": 0.5}, "padim": {"seed": 1}, "patchcore": {"neighbors": 1},
    }  # fmt: skip
    methods = [method, replace(method, **others[name])]
    rng = np.random.default_rng(7)
    training = draw_training(rng, 7, sizes_of(method))
    states = [each.fit(training) for each in methods]
    together = type(method).joint_scorer(methods, states, training)
    query = draw_query(rng, sizes_of(method))
    for each, state, found in zip(methods, states, together(query), strict=True):
        assert_equal(found, each.scorer(state, training)(query))


@pytest.mark.parametrize("name", SMALL)
def test_what_is_held_out_takes_no_part_where_that_takes_no_fit(name: str) -> None:
    """A training image is compared with the others as if it, and its copies, were not there."""
    method = small(name)
    if not method.depends_on_neighbors_alone:
        return
    rng = np.random.default_rng(8)
    sizes, keys = sizes_of(method), ["a", "b", "a", "c", "d", "e"]
    training = draw_training(rng, 6, sizes, keys=keys)
    query = Query(training.embeddings[2], training.pyramid(2), "a", held_out=True)
    rest = [1, 3, 4, 5]
    without = Training(
        training.embeddings[rest],
        lambda position: training.pyramid(rest[position]),
        tuple(sizes),
        [keys[position] for position in rest],
    )
    found = method.scorer({}, training)(query)
    expected = method.scorer({}, without)(replace(query, held_out=False))
    assert_equal(found, expected._replace(neighbors=[rest[position] for position in expected.neighbors]))
    assert found.squared_distances[0] > 0
    alone = method.image_scorer({}, training)(query)
    assert (alone.image, alone.neighbors) == (found.image, found.neighbors)


def test_an_image_is_not_held_out_of_nothing() -> None:
    training = draw_training(np.random.default_rng(9), 2, {}, keys=["a", "a"])
    query = Query(training.embeddings[0], (), "a", held_out=True)
    with pytest.raises(ValueError, match="there is no other training image"):
        training.nearest(query, 1)


@pytest.mark.parametrize("name", SMALL)
def test_a_description_names_every_setting(name: str) -> None:
    method = small(name)
    description = json.loads(json.dumps(method.description()))
    assert description["method"] == name
    assert json.loads(json.dumps(SMALL[name])).items() <= description.items()
    assert description != json.loads(json.dumps(METHODS[name]().description()))


@pytest.mark.parametrize("name", SMALL)
def test_a_method_reads_levels_that_the_network_has(name: str) -> None:
    method = METHODS[name]()
    any_network = isinstance(method, Spade | DN2)
    settled = method.settled(COARSE) if any_network else method.settled(GRIDS)
    assert set(settled.reads) <= {14, *GRIDS}
    assert settled.settled(COARSE if any_network else GRIDS) == settled
    if not any_network:
        with pytest.raises(
            ConfigurationError, match=rf"method {name} reads levels .*has 14: name it as"
        ) as no:
            method.settled(COARSE)
        named = str(no.value).partition("--method '")[2].rstrip("'")
        assert parse_method(named).settled(COARSE).reads == (14,)


def test_training_images_of_other_sizes_are_named() -> None:
    levels = [np.zeros((2, 2, 1)), np.zeros((2, 3, 1))]
    training = Training(np.zeros((2, 4), np.float32), lambda position: [levels[position]])
    with pytest.raises(ValueError, match="training image 1 has levels"):
        list(training.pyramids())


def test_no_training_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no training image"):
        Training(np.zeros((0, 4), np.float32), lambda _: [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "patch_core",
            "method is 'patch_core': did you mean patchcore.* it is one of spade, .*dn2, .*patchcore",
        ),
        ("dn2(kappa=2)", "dn2 has no setting 'kappa': it has k"),
        ("dn2(k=0)", "k is 0"),
        ("nearest_neighbor(limit=1.5)", "limit is 1.5"),
        ("one_class_svm(nu=1.0)", "nu is 1.0"),
        ("padim(dimensions=-1)", "dimensions is -1"),
        ("padim(epsilon=0)", "epsilon is 0"),
        ("patchcore(share=1.1)", "share is 1.1"),
        ("patchcore(levels=(16, 8))", r"levels is \(16, 8\)"),
        ("patchcore(levels=())", r"levels is \(\)"),
        ("patchcore(levels=(8, True))", r"levels is \(8, True\)"),
    ],
)
def test_a_wrong_setting_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_method(text)


def test_an_ensemble_is_explained_by_the_first_of_its_methods_that_can() -> None:
    spade, dn2, padim = small("spade"), small("dn2"), small("padim")
    assert Ensemble(methods=(padim, dn2, spade)).neighbor_count == 3
    assert Ensemble(methods=(padim, dn2, spade)).correspondence is spade.correspondence is not None
    assert Ensemble(methods=(padim, dn2)).correspondence is None
    assert Ensemble(methods=(padim, spade)).members == (padim, spade)
