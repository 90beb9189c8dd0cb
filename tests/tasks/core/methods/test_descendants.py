"""RAD and AnomalyDINO against plain implementations of their authors' code, on the same features."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.core.matching.pyramid import smooth
from tasks.core.methods.descendants import RAD, AnomalyDINO
from tasks.core.methods.interface import Pyramid, Query, Training
from tasks.core.methods.registry import parse_method
from tasks.core.networks.traits import Grid, Grids

HEIGHT, WIDTH, CHANNELS, IMAGES = 6, 9, 12, 8
BLOCKS = (1, 2, 3, 4)  # levels of one grid, as those of a transformer
GRIDS: Grids = {block: Grid(HEIGHT, WIDTH, 14) for block in BLOCKS}
ONE: Grids = {1: GRIDS[1]}


def image(rng: np.random.Generator, blocks: int) -> tuple[NDArray[np.float32], Pyramid]:
    """A class token and the tokens of some blocks."""
    tokens = [rng.normal(0.3, 1, (HEIGHT, WIDTH, CHANNELS)).astype(np.float16) for _ in range(blocks)]
    return rng.normal(0.3, 1, CHANNELS).astype(np.float32), tokens


def category(seed: int, blocks: int) -> tuple[Training, Query]:
    rng = np.random.default_rng(seed)
    images = [image(rng, blocks) for _ in range(IMAGES)]
    training = Training(
        np.stack([token for token, _ in images]),
        lambda position: images[position][1],
        BLOCKS[:blocks],
        anomaly_map=lambda maps: smooth(maps, 64, 1.0),
    )
    return training, Query(*image(rng, blocks))


def cosine(one: NDArray[Any], other: NDArray[Any]) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / math.sqrt(a @ a) / math.sqrt(b @ b))


def rad_patches(training: Training, query: Query, k: int, radius: int) -> NDArray[np.float64]:
    """1 - the highest cosine of each token, among those at most `radius` cells away; mean over blocks."""
    similar = [cosine(query.embedding, token) for token in training.embeddings]
    retrieved = sorted(range(IMAGES), key=lambda position: -similar[position])[:k]
    out = np.zeros((HEIGHT, WIDTH))
    for block, (i, j) in product(range(len(query.pyramid)), np.ndindex(HEIGHT, WIDTH)):
        highest = max(
            cosine(query.pyramid[block][i, j], training.pyramid(position)[block][r, c])
            for position in retrieved
            for r in range(max(0, i - radius), min(HEIGHT, i + radius + 1))
            for c in range(max(0, j - radius), min(WIDTH, j + radius + 1))
        )
        out[i, j] += (1 - highest) / len(query.pyramid)
    return out


@pytest.mark.parametrize(("k", "radius"), [(3, 1), (150, 1), (2, 2)])
def test_rad_is_that_of_plain_loops(k: int, radius: int) -> None:
    training, query = category(1, 4)
    method = RAD(k_gallery=k, window=radius).settled(GRIDS, IMAGES)
    found = method.scorer({}, training)(query)
    expected = rad_patches(training, query, k, radius)
    np.testing.assert_allclose(np.mean(found.maps, axis=0), expected, atol=1e-5)
    pixels = np.sort(smooth([expected.astype(np.float32)], 64, 1.0), axis=None)
    assert found.image == pytest.approx(pixels[-math.ceil(0.01 * pixels.size) :].mean(), abs=1e-5)


def test_the_image_score_of_rad_may_be_of_the_search_without_the_window() -> None:
    training, query = category(2, 4)
    method = RAD(k_gallery=3, image_rule="unrestricted").settled(GRIDS, IMAGES)
    found = method.scorer({}, training)(query)
    np.testing.assert_allclose(np.mean(found.maps, axis=0), rad_patches(training, query, 3, 1), atol=1e-5)
    anywhere = rad_patches(training, query, 3, max(HEIGHT, WIDTH)).astype(np.float32)
    pixels = np.sort(smooth([anywhere], 64, 1.0), axis=None)
    assert found.image == pytest.approx(pixels[-math.ceil(0.01 * pixels.size) :].mean(), abs=1e-5)


def anomalydino_patches(training: Training, query: Query) -> NDArray[np.float64]:
    """1 - the highest cosine of each token with any of any training image."""
    out = np.zeros((HEIGHT, WIDTH))
    for i, j in np.ndindex(HEIGHT, WIDTH):
        tokens = (training.pyramid(position)[0].reshape(-1, CHANNELS) for position in range(IMAGES))
        out[i, j] = 1 - max(cosine(query.pyramid[0][i, j], token) for patches in tokens for token in patches)
    return out


def test_anomalydino_is_that_of_plain_loops() -> None:
    training, query = category(3, 1)
    method = AnomalyDINO().settled(ONE, IMAGES)
    found = method.scorer({}, training)(query)
    expected = anomalydino_patches(training, query)
    np.testing.assert_allclose(found.maps[0], expected, atol=1e-5)
    highest = sorted(expected.ravel(), reverse=True)[: max(1, int(0.01 * expected.size))]
    assert found.image == pytest.approx(np.mean(highest), abs=1e-5)


def test_the_image_score_is_the_mean_of_a_hundredth_of_the_patches_rounded_down() -> None:
    rng = np.random.default_rng(4)
    levels = [rng.normal(size=(13, 23, 5)).astype(np.float32) for _ in range(3)]
    training = Training(
        rng.normal(size=(2, 4)).astype(np.float32), lambda position: [levels[position]], (14,)
    )
    method = AnomalyDINO().settled({14: Grid(13, 23, 14)}, 2)
    found = method.scorer({}, training)(Query(training.embeddings[0], [levels[2]]))
    assert found.image == pytest.approx(np.sort(found.maps[0], axis=None)[-2:].mean(), rel=1e-6)


def test_the_background_scores_nothing_where_the_object_is_told_apart() -> None:
    training, query = category(5, 1)
    tokens = np.asarray(query.pyramid[0], np.float32)
    tokens[1:5, 2:7] += 30
    shown = Query(query.embedding, [tokens])
    everywhere = AnomalyDINO().settled(ONE, IMAGES).scorer({}, training)(shown).maps[0]
    kept = AnomalyDINO(foreground="component").settled(ONE, IMAGES).scorer({}, training)(shown).maps[0]
    assert (kept[1:5, 2:7] == everywhere[1:5, 2:7]).all()
    assert kept[0, 4] == 0 < everywhere[0, 4]


def test_the_last_level_is_that_of_anomalydino_and_all_are_those_of_rad() -> None:
    assert AnomalyDINO().settled(GRIDS).levels == (4,)
    assert RAD().settled(GRIDS).levels == BLOCKS


def test_they_are_named_with_the_settings_that_differ_from_their_authors() -> None:
    assert RAD().label == "rad"
    assert RAD(k_gallery=900, window=2).label == "rad(k_gallery=900, window=2)"
    assert parse_method("rad", {"spade": {"window": 3}, "rad": {"window": 2}}) == RAD(window=2)
    assert AnomalyDINO(foreground="component").label == "anomalydino(foreground='component')"
