"""What holds for every method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_features import draw_image, draw_training

from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Method, Training
from tasks.core.methods.registry import METHODS, describe_method, make_method

SIZES = {4: (6, 10, 3), 8: (3, 5, 5), 16: (2, 3, 4)}
SMALL: dict[str, dict[str, Any]] = {
    "dn2": {"k": 3},
    "nearest_neighbor": {"limit": 50},
    "one_class_svm": {"limit": 40, "nu": 0.3},
    "padim": {"dimensions": 7},
    "patchcore": {"share": 0.3, "dimension": 6, "projection": 4, "neighbors": 3},
}


def sizes_of(method: Method) -> tuple[tuple[int, int, int], ...]:
    return tuple(SIZES[stride] for stride in method.strides)


def test_every_method_is_tried() -> None:
    assert SMALL.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_stored_state_scores_as_before_and_is_the_same_again(name: str, tmp_path: Path) -> None:
    method = make_method(name, **SMALL[name])
    rng = np.random.default_rng(3)
    training = draw_training(rng, 7, sizes_of(method))
    state = method.fit(training)
    np.savez(tmp_path / "state.npz", allow_pickle=False, **state)
    with np.load(tmp_path / "state.npz", allow_pickle=False) as stored:
        loaded = {key: stored[key] for key in state}
    again = make_method(name, **SMALL[name]).fit(training)
    for key in state:
        np.testing.assert_array_equal(state[key], again[key])
    scorers = [method.scorer(state), method.scorer(loaded)]
    for _ in range(3):
        embedding, pyramid = draw_image(rng, sizes_of(method))
        first, second = (scorer(embedding, pyramid) for scorer in scorers)
        assert np.isfinite(first.image)
        assert first.image == second.image
        assert (first.map is None) == (not method.strides)
        if first.map is not None and second.map is not None:
            assert first.map.dtype == np.float32
            assert first.map.shape == sizes_of(method)[0][:2]
            assert np.isfinite(first.map).all()
            np.testing.assert_array_equal(first.map, second.map)


@pytest.mark.parametrize("name", METHODS)
def test_an_image_far_from_all_normal_ones_scores_higher(name: str) -> None:
    method = make_method(name, **SMALL[name])
    rng = np.random.default_rng(4)
    score = method.scorer(method.fit(draw_training(rng, 9, sizes_of(method))))
    embedding, pyramid = draw_image(rng, sizes_of(method))
    broken = [np.array(level) for level in pyramid]
    for level in broken:
        level[:1, :2] += 40
    normal, anomalous = score(embedding, pyramid), score(embedding + 40, broken)
    assert anomalous.image > normal.image
    if normal.map is not None and anomalous.map is not None:
        assert np.unravel_index(anomalous.map.argmax(), anomalous.map.shape)[0] <= 2
        assert anomalous.map.max() > normal.map.max()


@pytest.mark.parametrize("name", METHODS)
def test_one_training_image_is_enough(name: str) -> None:
    method = make_method(name, **SMALL[name])
    rng = np.random.default_rng(5)
    score = method.scorer(method.fit(draw_training(rng, 1, sizes_of(method))))
    assert np.isfinite(score(*draw_image(rng, sizes_of(method))).image)


@pytest.mark.parametrize("name", METHODS)
def test_a_description_names_every_setting(name: str) -> None:
    description = json.loads(json.dumps(describe_method(make_method(name, **SMALL[name]))))
    assert description["method"] == name
    assert SMALL[name].items() <= description.items()
    assert description != json.loads(json.dumps(describe_method(make_method(name))))


def test_training_images_of_other_sizes_are_named() -> None:
    levels = [np.zeros((2, 2, 1)), np.zeros((2, 3, 1))]
    training = Training(np.zeros((2, 4), np.float32), lambda position: [levels[position]])
    with pytest.raises(ValueError, match="training image 1 has levels"):
        list(training.pyramids())


def test_no_training_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no training image"):
        Training(np.zeros((0, 4), np.float32), lambda _: [])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("patch_core", {}, "method is 'patch_core': it is one of dn2, .*patchcore"),
        ("dn2", {"kappa": 2}, "dn2 has no setting 'kappa': it has k"),
        ("dn2", {"k": 0}, "k is 0"),
        ("nearest_neighbor", {"limit": 1.5}, "limit is 1.5"),
        ("one_class_svm", {"nu": 1.0}, "nu is 1.0"),
        ("padim", {"dimensions": -1}, "dimensions is -1"),
        ("padim", {"epsilon": 0}, "epsilon is 0"),
        ("patchcore", {"share": 1.1}, "share is 1.1"),
        ("patchcore", {"strides": (16, 8)}, r"strides is \(16, 8\)"),
        ("patchcore", {"strides": ()}, r"strides is \(\)"),
    ],
)
def test_a_wrong_setting_is_named(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_method(name, **settings)
