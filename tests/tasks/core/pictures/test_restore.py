from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.config import Configuration
from tasks.core.networks.geometry import Preprocessing, Size
from tasks.core.networks.preprocess import align_mask
from tasks.core.pictures.restore import NOT_EVALUATED, heat_picture, mask_picture, quantise, restore

PAPER = Configuration().preprocessing
FULL = Configuration(protocol="full").preprocessing


def geometry(**settings: Any) -> Preprocessing:
    return Configuration(**settings).preprocessing


def oracle(values: np.ndarray, resized: Size, size: Size, height: int, width: int) -> np.ndarray:
    """Each pixel's centre taken through resize and crop to the map, four neighbours weighted."""
    resolution = len(values)
    found = np.full((height, width), np.nan)
    above, before = ((full - kept) // 2 for full, kept in zip(resized, size, strict=True))
    for row in range(height):
        for column in range(width):
            y = (row + 0.5) / height * resized[0] - above
            x = (column + 0.5) / width * resized[1] - before
            if not (0 <= y < size[0] and 0 <= x < size[1]):
                continue
            v = min(max(y / size[0] * resolution - 0.5, 0), resolution - 1)
            u = min(max(x / size[1] * resolution - 0.5, 0), resolution - 1)
            rows, columns = (
                {int(v), min(int(v) + 1, resolution - 1)},
                {int(u), min(int(u) + 1, resolution - 1)},
            )
            found[row, column] = sum(
                max(0.0, 1 - abs(v - i)) * max(0.0, 1 - abs(u - j)) * values[i, j]
                for i in rows
                for j in columns
            )
    return found


@pytest.mark.parametrize(
    ("how", "resized", "size", "resolution", "height", "width"),
    [
        (PAPER, (256, 256), (224, 224), 17, 61, 45),
        (PAPER, (256, 256), (224, 224), 64, 40, 49),
        (FULL, (224, 224), (224, 224), 9, 23, 50),
        (FULL, (224, 224), (224, 224), 33, 7, 5),
        (geometry(resize="80x120", crop="48x64"), (80, 120), (48, 64), 21, 40, 49),
        (geometry(input="64x96"), (64, 96), (64, 96), 21, 40, 49),
        (geometry(input="64", aspect="crop"), (64, 78), (64, 64), 21, 40, 49),
        (geometry(input="64", aspect="pad"), (64, 78), (64, 80), 21, 40, 49),
        (geometry(resize="64", crop="48x96", aspect="crop"), (78, 64), (48, 96), 21, 49, 40),
    ],
)
def test_a_map_goes_back_through_crop_and_resize(
    how: Preprocessing, resized: Size, size: Size, resolution: int, height: int, width: int
) -> None:
    values = np.random.default_rng(0).random((resolution, resolution)).astype(np.float32)
    found = restore(values, how, height, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle(values, resized, size, height, width), atol=1e-5)


def test_what_the_crop_leaves_out_is_nan_and_the_full_protocol_leaves_nothing_out() -> None:
    values = np.ones((64, 64), np.float32)
    found = restore(values, PAPER, 256, 512)
    assert np.isnan(found[:16]).all()
    assert np.isnan(found[:, -32:]).all()
    assert (found[16:240, 32:480] == 1).all()
    assert (restore(values, FULL, 256, 512) == 1).all()


@given(st.integers(8, 80), st.integers(8, 80), st.integers(0, 2**32 - 1), st.sampled_from(["paper", "full"]))
def test_a_mask_brought_to_the_map_and_back_stays_where_it_was(
    height: int, width: int, seed: int, protocol: str
) -> None:
    """Blocks of the image, seen at 256, are found again at each pixel whose neighbourhood is even."""
    how = Configuration(protocol=protocol).preprocessing  # type: ignore[arg-type]
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    mask = np.kron(mask[: height // 4 + 1, : width // 4 + 1], np.ones((4, 4), bool))[:height, :width]
    found = restore(align_mask(mask, how, 256).astype(np.float32), how, height, width)
    even = (found == 0) | (found == 1)
    np.testing.assert_array_equal(found[even] == 1, mask[even])
    assert even[~np.isnan(found)].mean() > 0.3


def test_a_heat_map_is_transparent_where_nothing_was_evaluated() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    heat = np.array([[np.nan, 0, 1], [2, 4, np.nan]], np.float32)
    colours = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    found = heat_picture(image, heat, 2.0, colours)
    assert found.shape == (2, 3, 4)
    assert found[..., 3].tolist() == [[0, 255, 255], [255, 255, 0]]
    assert found[0, 1, 0] < found[0, 2, 0] < found[1, 0, 0] == found[1, 1, 0]


def test_a_mask_reads_as_normal_where_nothing_was_evaluated() -> None:
    found = mask_picture(np.array([[True, False, False]]), np.array([[True, True, False]]))
    assert found.tolist() == [[255, 0, NOT_EVALUATED]]
    assert NOT_EVALUATED <= 127


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
)
def test_a_quantised_map_comes_back_within_half_a_step(values: list[float]) -> None:
    heat = np.array([[*values, np.nan]], np.float32)
    lowest = float(min(values))
    step = (float(max(values)) - lowest) / 65534 or 1.0
    pixels = quantise(heat, lowest, step)
    assert pixels[0, -1] == 0
    assert pixels[0, :-1].min() >= 1
    back = lowest + (pixels[0, :-1].astype(np.float64) - 1) * step
    np.testing.assert_allclose(back, heat[0, :-1], atol=0.5001 * step, rtol=1e-9)
