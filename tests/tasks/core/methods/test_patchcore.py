from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_features import draw_query, draw_training
from numpy.typing import NDArray

from tasks.core.methods.coreset import greedy_coreset, random_projection
from tasks.core.methods.interface import Pyramid
from tasks.core.methods.patchcore import PatchCore, reweighted
from tasks.core.methods.points import Points

SIZES = {8: (5, 7, 3), 16: (3, 4, 8)}


def averaged(level: NDArray[Any]) -> NDArray[np.float64]:
    height, width, channels = level.shape
    out = np.zeros((height, width, channels))
    for i, j in product(range(height), range(width)):
        around = [
            level[r, c].astype(np.float64)
            for r, c in product(range(i - 1, i + 2), range(j - 1, j + 2))
            if 0 <= r < height and 0 <= c < width
        ]
        out[i, j] = sum(around) / len(around)
    return out


def upsampled(level: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    rows, columns, channels = level.shape
    out = np.zeros((height, width, channels))
    for i, j in product(range(height), range(width)):
        y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
        x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
        for r, c in product(range(rows), range(columns)):
            out[i, j] += max(0, 1 - abs(y - r)) * max(0, 1 - abs(x - c)) * level[r, c]
    return out


def pooled(vector: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Entry i is the mean from floor(i n / size) to before ceil((i + 1) n / size)."""
    n = len(vector)
    return np.array([vector[i * n // size : -(-(i + 1) * n // size)].mean() for i in range(size)])


def plain_patches(pyramid: Pyramid, dimension: int) -> NDArray[np.float64]:
    fine, coarse = averaged(pyramid[0]), averaged(pyramid[1])
    height, width, _ = fine.shape
    coarse = upsampled(coarse, height, width)
    rows = []
    for i, j in product(range(height), range(width)):
        both = np.concatenate([pooled(fine[i, j], dimension), pooled(coarse[i, j], dimension)])
        rows.append(pooled(both, dimension))
    return np.array(rows)


@pytest.mark.parametrize("memory", [0, 100, 2000, 1e9])
def test_what_is_learned_does_not_depend_on_the_memory(memory: float) -> None:
    training = draw_training(np.random.default_rng(0), 6, SIZES)
    method = PatchCore(share=0.3, dimension=6, projection=9)
    bounded = method.fit(replace(training, memory=memory))
    np.testing.assert_array_equal(bounded["members"], method.fit(training)["members"])


@pytest.mark.parametrize("dimension", [4, 6, 20])
@pytest.mark.parametrize("share", [0.05, 0.4, 1.0])
def test_scores_agree_with_plain_loops(dimension: int, share: float) -> None:
    rng = np.random.default_rng(dimension)
    training = draw_training(rng, 6, SIZES)
    method = PatchCore(share=share, dimension=dimension, projection=9, neighbors=4, seed=2)
    state = method.fit(training)
    everything = np.concatenate([plain_patches(pyramid, dimension) for pyramid in training.pyramids()])
    projected = (everything @ random_projection(dimension, 9, 2)).astype(np.float32)
    chosen = greedy_coreset(Points.of(projected), int(share * 210), 2)
    members = everything[np.sort(chosen)]
    np.testing.assert_allclose(state["members"], members, atol=1e-5)

    query = draw_query(rng, SIZES)
    found = method.scorer(state, training)(query)
    distances, nearest = [], []
    for patch in plain_patches(query.pyramid, dimension):
        each = [math.dist(patch, member) for member in members]
        distances.append(min(each))
        nearest.append(each.index(min(each)))
    np.testing.assert_allclose(found.maps[0].ravel(), distances, rtol=1e-4)
    star = int(np.argmax(distances))
    patch, member = plain_patches(query.pyramid, dimension)[star], members[nearest[star]]
    around = sorted(members, key=lambda other: math.dist(member, other))[:4]
    total = sum(math.exp(math.dist(patch, other)) for other in around)
    expected = (1 - math.exp(distances[star]) / total) * distances[star]
    assert found.image == pytest.approx(expected, rel=1e-3)


def test_the_weight_survives_distances_whose_exponentials_do_not() -> None:
    others = np.array([2000.0, 2000.0, 2000.0 + math.log(2)])
    assert reweighted(2000.0, others) == pytest.approx(2000 * 0.75)
    assert reweighted(2000.0, np.array([2000.0])) == 2000


FIT = """
import sys
import numpy as np
from tasks.core.methods import local_patches
from tasks.core.methods.interface import Training
from tasks.core.methods.patchcore import PatchCore

def training(images, side, memory):
    levels = [np.ones((side // f, side // f, 32), np.float16) for f in (1, 2)]
    for level in levels:
        level[:] = np.arange(level.size).reshape(level.shape) % 997
    return Training(np.zeros((images, 2), np.float32), lambda _: levels, memory=memory)

def status(name):
    text = open("/proc/self/status").read()
    return int(text.partition(name + ":")[2].split()[0]) * 1024

local_patches._POSITIONS = 512
method = PatchCore(share=1e-4, dimension=256)
images, side, memory = map(int, sys.argv[1:])
method.fit(training(2, 64, 1e9))
given = training(images, side, memory)
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
method.fit(given)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux")
@pytest.mark.parametrize(("images", "side"), [(1, 512), (64, 64)], ids=["one large", "many"])
def test_fitting_holds_no_more_than_the_memory_and_a_strip(images: int, side: int) -> None:
    memory, positions = 32 * 2**20, images * side * side
    assert positions * 128 * 4 == 4 * memory  # all projected patches; all patches are twice that
    command = [sys.executable, "-c", FIT, *map(str, (images, side, memory))]
    took = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert took < memory + 24 * 2**20
