from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from drawn_features import Sizes, draw_query, draw_training, square_grids
from numpy.typing import NDArray

from tasks.core.errors import ConfigurationError
from tasks.core.methods.descendants import RAD, AnomalyDINO
from tasks.core.methods.interface import Pyramid, Query, Training
from tasks.core.methods.spade import Spade
from tasks.core.networks.traits import Level

SIZES: Sizes = {4: (9, 5, 3), 8: (5, 3, 4), 16: (3, 2, 6)}
GRIDS = square_grids({4: 56, 8: 28, 16: 14})
KEYS = ["c", "a", "d", "a", "b", "e", "f"]  # the second and the fourth are of one content


def upsampled(level: NDArray[Any], height: int, width: int, upsampling: str) -> NDArray[np.float64]:
    """A level on a finer grid: by repetition, or weighted by nearness as images are resized."""
    rows, columns, channels = level.shape
    out = np.zeros((height, width, channels))
    for i, j in product(range(height), range(width)):
        if upsampling == "nearest":
            out[i, j] = level[i * rows // height, j * columns // width]
            continue
        y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
        x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
        for r, c in product(range(rows), range(columns)):
            out[i, j] += max(0, 1 - abs(y - r)) * max(0, 1 - abs(x - c)) * level[r, c].astype(np.float64)
    return out


def around(level: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    """Each vector as the mean of those around it that are inside."""
    out, far = np.zeros_like(level), cells // 2
    for i, j in product(range(level.shape[0]), range(level.shape[1])):
        near = level[max(0, i - far) : i + far + 1, max(0, j - far) : j + far + 1]
        out[i, j] = near.reshape(-1, level.shape[2]).mean(axis=0)
    return out


def plain_grids(method: Spade, pyramid: Pyramid) -> list[NDArray[np.float64]]:
    """Patch vectors as they are matched."""
    levels = [pyramid[list[Level](SIZES).index(level)].astype(np.float64) for level in method.levels]
    levels = [around(level, method.average) for level in levels]
    if method.normalization == "levels":
        levels = [level / np.linalg.norm(level, axis=2, keepdims=True) for level in levels]
    if method.fusion == "average":
        return levels
    height, width, _ = levels[0].shape
    return [np.concatenate([upsampled(each, height, width, method.upsampling) for each in levels], axis=2)]


def plain_distances(
    method: Spade, one: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From a vector (C,) to others (P, C)."""
    if method.distance == "cosine":
        lengths = np.linalg.norm(one) * np.linalg.norm(others, axis=1)
        return np.asarray(1 - others @ one / lengths)
    squared = ((others - one) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(squared) if method.distance == "euclidean" else squared)


def plain_maps(method: Spade, query: Pyramid, gallery: list[Pyramid]) -> list[NDArray[np.float64]]:
    """Equation 3 at every position, by comparing every pair that lies within the window."""
    maps = []
    offered = [plain_grids(method, image) for image in gallery]
    for number, grid in enumerate(plain_grids(method, query)):
        out = np.zeros(grid.shape[:2])
        cells = np.array(list(product(*map(range, out.shape))))
        patches = np.stack([image[number].reshape(len(cells), -1) for image in offered])
        for place in product(*map(range, out.shape)):
            within = abs(cells - place).max(axis=1) <= (method.window or np.inf)
            near = patches[:, within].reshape(-1, patches.shape[2])
            out[place] = np.sort(plain_distances(method, grid[place], near))[: method.kappa].mean()
        maps.append(out)
    return maps


def plain_image(method: Spade, query: Pyramid, gallery: list[Pyramid], lowest: list[float]) -> float:
    """The image score; the tests' anomaly map is the mean at the finest grid, of fewer than 100 pixels."""
    if method.image_rule == "embedding":
        return sum(lowest) / len(lowest)
    window = 0 if method.image_rule == "unrestricted" else method.window
    maps = plain_maps(replace(method, window=window), query, gallery)
    height, width = maps[0].shape
    finest = [upsampled(each[:, :, None], height, width, "bilinear")[:, :, 0] for each in maps]
    return float(np.mean(finest, axis=0).max())


def plain_order(method: Spade, query: Query, training: Training, keys: list[str]) -> list[tuple[float, int]]:
    """Squared distances and positions of the images it is compared with, nearest first."""

    def compared(vector: NDArray[np.float32]) -> NDArray[np.float64]:
        values = vector.astype(np.float64)
        return np.asarray(values / np.linalg.norm(values) if method.retrieval == "cosine" else values)

    return sorted(
        (float(((compared(query.embedding) - compared(other)) ** 2).sum()), position)
        for position, other in enumerate(training.embeddings)
        if not (query.held_out and keys[position] == query.key)
    )


def drawn_order(seed: int, query: Query, positions: list[int]) -> list[int]:
    def drawn(position: int) -> str:
        return hashlib.sha256(f"{seed} {query.key} {KEYS[position]}".encode()).hexdigest()

    return sorted(positions, key=drawn)


METHODS = [
    Spade(k_image=3, k_gallery=2),
    Spade(k_image=2, k_gallery=4, kappa=3, upsampling="nearest"),
    Spade(k_image=1, k_gallery=3, fusion="average", kappa=2, distance="euclidean"),
    Spade(k_image=2, k_gallery=2, levels=(8, 16)),
    Spade(k_image=2, k_gallery=1, levels=(16,), upsampling="nearest", distance="euclidean"),
    Spade(k_image=4, k_gallery=3, levels=(4, 16), fusion="average"),
    Spade(k_image=2, k_gallery=3, gallery="random", gallery_seed=5),
    Spade(k_image=50, k_gallery=50),
    Spade(k_image=50, k_gallery=50, gallery="random", fusion="average", levels=(8,)),
    Spade(k_image=3, k_gallery=2, distance="cosine"),
    Spade(k_image=3, k_gallery=2, distance="cosine", fusion="average", kappa=2, retrieval="cosine"),
    Spade(k_image=3, k_gallery=4, average=3, image_rule="map"),
    Spade(k_image=3, k_gallery=2, average=5, normalization="levels", upsampling="nearest"),
    Spade(k_image=3, k_gallery=2, average=3, normalization="levels", distance="cosine", window=2),
    Spade(k_image=2, k_gallery=3, window=1, kappa=4, image_rule="unrestricted", levels=(8, 16)),
    Spade(k_image=2, k_gallery=3, window=1, fusion="average", image_rule="patches"),
    Spade(k_image=2, window=40, gallery="all", image_rule="patches", distance="cosine", levels=(4,)),
    Spade(k_image=2, k_gallery=3, window=2, gallery="random", image_rule="unrestricted"),
    RAD(k_gallery=3),
    AnomalyDINO(),
]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.label)
def test_scores_agree_with_plain_loops(method: Spade, held_out: bool) -> None:
    rng = np.random.default_rng(2)
    training = draw_training(rng, len(KEYS), SIZES, width=11, keys=KEYS)
    query = replace(draw_query(rng, SIZES, width=11, key="a"), held_out=held_out)
    others = [position for position in range(len(KEYS)) if not (held_out and KEYS[position] == "a")]
    settled = method.settled(GRIDS)
    found = settled.scorer({}, training)(query)

    order = plain_order(settled, query, training, KEYS)
    assert len(order) == len(others) == (5 if held_out else 7)
    named = order[: settled.neighbor_count]
    assert list(found.neighbors) == [position for _, position in named]
    np.testing.assert_allclose(found.squared_distances, [squared for squared, _ in named], rtol=1e-6)

    positions = [position for _, position in order]
    if method.gallery == "random":
        positions = drawn_order(method.gallery_seed, query, others)
    positions = sorted(positions) if method.gallery == "all" else positions[: method.k_gallery]
    gallery = [training.pyramid(position) for position in positions]
    assert list(settled.compared(query, training, found.neighbors)) == positions
    lowest = [squared for squared, _ in order[: method.k_image]]
    expected_image = plain_image(settled, query.pyramid, gallery, lowest)
    assert found.image == pytest.approx(expected_image, rel=2e-4, abs=1e-4)
    assert settled.image_scorer({}, training)(query) == found._replace(maps=())
    for values, expected in zip(found.maps, plain_maps(settled, query.pyramid, gallery), strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, rtol=2e-4, atol=1e-4)


def test_settings_of_every_kind_together_score_as_each_alone() -> None:
    rng = np.random.default_rng(3)
    training = draw_training(rng, len(KEYS), SIZES, width=11, keys=KEYS)
    query = draw_query(rng, SIZES, width=11)
    methods = [method.settled(GRIDS) for method in METHODS]
    together = Spade.joint_scorer(methods, [{} for _ in methods], training)(query)
    for method, found in zip(methods, together, strict=True):
        alone = method.scorer({}, training)(query)
        assert found._replace(maps=()) == alone._replace(maps=())
        for one, other in zip(found.maps, alone.maps, strict=True):
            np.testing.assert_array_equal(one, other)


def test_scored_together_a_training_image_is_read_once_an_order() -> None:
    rng = np.random.default_rng(4)
    drawn = draw_training(rng, 7, SIZES, keys=KEYS)
    read: list[int] = []

    def pyramid(position: int) -> Pyramid:
        read.append(position)
        return drawn.pyramid(position)

    training = replace(drawn, pyramid=pyramid)
    nearest = [Spade(k_image=k, k_gallery=k, kappa=kappa) for k in (1, 4) for kappa in (1, 3)]
    random = [Spade(k_image=1, k_gallery=k, gallery="random", gallery_seed=1) for k in (2, 5)]
    methods = [method.settled(GRIDS) for method in (*nearest, *random)]
    Spade.joint_scorer(methods, [{} for _ in methods], training)(draw_query(rng, SIZES))
    assert len(read) == 4 + 5
    assert len(set(read[:4])) == 4
    assert len(set(read[4:])) == 5


def test_grids_and_their_levels_are_those_that_are_matched() -> None:
    query = draw_query(np.random.default_rng(5), SIZES)
    for method in (Spade(), Spade(fusion="average"), Spade(upsampling="nearest")):
        settled = method.settled(GRIDS)
        grids = settled.grids(query.pyramid)
        assert len(grids) == len(settled.grid_levels())
        for grid, expected in zip(grids, plain_grids(settled, query.pyramid), strict=True):
            np.testing.assert_allclose(grid, expected, rtol=1e-5, atol=1e-5)
    assert Spade().settled(GRIDS).grid_levels() == [(4, 8, 16)]
    assert Spade(fusion="average").settled(GRIDS).grid_levels() == [(4,), (8,), (16,)]


def test_what_is_left_open_is_settled_for_the_network_and_the_images() -> None:
    assert Spade().settled(GRIDS) == Spade(levels=(4, 8, 16))
    assert Spade().settled(square_grids({14: 16}), 9) == Spade(levels=(14,), k_image=9, k_gallery=9)
    assert Spade(k_image=3).settled(GRIDS, 9) == Spade(levels=(4, 8, 16), k_image=3, k_gallery=9)
    assert Spade(levels=(16, 4, 16)).levels == (4, 16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fusion": "concat"}, "did you mean concatenate"),
        ({"upsampling": "bicubic"}, "upsampling is 'bicubic'"),
        ({"gallery": "far"}, "it is one of nearest, random"),
        ({"gallery_seed": -1}, "gallery_seed is -1"),
        ({"distance": "l2"}, "squared, euclidean"),
        ({"levels": (4, 32)}, "level is 32: the network has 4, 8, 16"),
        ({"levels": (6,)}, "level is 6"),
        ({"k_image": 0}, "k_image is 0: it is a whole number, 1 or more"),
        ({"k_gallery": -3}, "k_gallery is -3"),
        ({"k_gallery": 2.5}, "k_gallery is 2.5"),
        ({"kappa": 0}, "kappa is 0: it is a whole number, 1 or more"),
        ({"kappa": 3137}, "kappa is 3137: it is a whole number, from 1 to 3136"),
        ({"kappa": 197, "fusion": "average"}, "from 1 to 196"),
        ({"kappa": 785, "levels": (8, 16)}, "from 1 to 784"),
        ({"kappa": 5, "window": 1}, "from 1 to 4 of a window in a corner"),
        ({"average": 2}, "average is 2: it is an odd number of cells, as 3"),
        ({"window": -1}, "window is -1"),
        ({"normalization": "levels", "distance": "cosine", "fusion": "average"}, "drop the setting"),
        ({"normalization": "levels", "distance": "cosine", "levels": (8,)}, "normalised already"),
        ({"image_rule": "unrestricted"}, "without a window that is the map: name image_rule map"),
        ({"image_rule": "max"}, "it is one of embedding, map, unrestricted, patches"),
        ({"foreground": "component"}, "it is found on one level: name one of 4, 8, 16"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_remedy(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Spade(**wrong).settled(GRIDS)


def test_the_defaults_are_the_papers() -> None:
    method = Spade()
    assert (method.k_image, method.k_gallery, method.kappa) == (50, 50, 1)
    assert (method.gallery, method.fusion, method.distance) == ("nearest", "concatenate", "squared")


def test_a_setting_that_came_later_leaves_keys_as_they_were() -> None:
    """Scores that were stored before are found by the description they had."""
    assert Spade().settled(GRIDS).description() == {
        "version": 2, "method": "spade", "gallery": "nearest", "gallery_seed": 0, "levels": (4, 8, 16),
        "fusion": "concatenate", "upsampling": "bilinear", "distance": "squared", "kappa": 1,
        "k_image": 50, "k_gallery": 50,
    }  # fmt: skip
    changes: list[dict[str, Any]] = [{"window": 2}, {"average": 3}, {"retrieval": "cosine"}]
    for change in changes:
        assert Spade(**change).description() == Spade().description() | change


def test_a_k_that_no_image_score_takes_is_no_part_of_keys() -> None:
    assert RAD(k_image=3).description() == RAD().description()
    assert RAD(k_image=3).neighbor_count == RAD().k_gallery == 150
    assert AnomalyDINO().neighbor_count == 0


def test_the_seed_of_the_gallery_counts_only_where_it_is_random() -> None:
    assert Spade(gallery_seed=3).description() == Spade().description()
    drawn = [Spade(gallery="random", gallery_seed=seed).description() for seed in (0, 3)]
    assert drawn[0] != drawn[1]
    assert drawn[1] == drawn[0] | {"gallery_seed": 3}


def test_a_random_gallery_can_be_fitted_to_other_images_only() -> None:
    assert Spade().depends_on_neighbors_alone
    assert not AnomalyDINO().depends_on_neighbors_alone
    assert not Spade(gallery="random").depends_on_neighbors_alone
