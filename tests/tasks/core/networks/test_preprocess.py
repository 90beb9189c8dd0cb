from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tasks.core.config import Configuration
from tasks.core.networks.geometry import Preprocessing, Size
from tasks.core.networks.preprocess import align_mask, preprocess

PAPER = Configuration().preprocessing
FULL = Configuration(protocol="full").preprocessing
FULL256 = Configuration(protocol="full256").preprocessing


def geometry(**settings: Any) -> Preprocessing:
    return Configuration(**settings).preprocessing


def test_the_paper_resizes_to_256_and_keeps_the_centre_224() -> None:
    image = np.zeros((256, 256, 3), np.uint8)
    image[16:240, 16:240] = 255
    plain = replace(PAPER, mean=(0, 0, 0), std=(1, 1, 1))
    found = preprocess(image, plain)
    assert found.shape == (3, 224, 224)
    assert found.dtype == np.float32
    assert (found == 1).all()


def test_full_sees_the_border_of_an_image_that_is_not_square() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[0] = 255
    found = preprocess(image, replace(FULL, mean=(0, 0, 0), std=(1, 1, 1)))
    assert found.shape == (3, 224, 224)
    assert found[0, 0].max() > 0.3
    assert preprocess(image, PAPER)[0].max() < 0


def test_channels_are_normalised_by_the_backbones_own_mean_and_std() -> None:
    image = np.full((256, 256, 3), (10, 127, 255), np.uint8)
    lite = Configuration(backbone="tf_efficientnet_lite0").preprocessing
    np.testing.assert_allclose(preprocess(image, lite)[:, 0, 0], [(10 - 127) / 128, 0, 1], atol=1e-6)
    expected = (np.array([10, 127, 255]) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(preprocess(image, PAPER)[:, 0, 0], expected, rtol=1e-5)


def align_oracle(mask: np.ndarray, resized: Size, size: Size, resolution: int) -> np.ndarray:
    """Each output pixel's centre, taken back through crop and resize, one at a time."""
    found = np.zeros((resolution, resolution), bool)
    above, before = ((full - kept) // 2 for full, kept in zip(resized, size, strict=True))
    for row in range(resolution):
        for column in range(resolution):
            y = ((row + 0.5) * size[0] / resolution + above) * mask.shape[0] / resized[0]
            x = ((column + 0.5) * size[1] / resolution + before) * mask.shape[1] / resized[1]
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]:
                found[row, column] = mask[int(y), int(x)]
    return found


def test_masks_go_through_the_geometry_of_their_image() -> None:
    rng = np.random.default_rng(0)
    cases: list[tuple[Size, Preprocessing, Size, Size, int]] = [
        ((90, 131), PAPER, (256, 256), (224, 224), 33),
        ((256, 256), PAPER, (256, 256), (224, 224), 224),
        ((57, 40), FULL, (224, 224), (224, 224), 64),
        ((480, 856), FULL256, (256, 256), (256, 256), 256),
        ((90, 131), geometry(resize="100x200", crop="64x96"), (100, 200), (64, 96), 33),
        ((40, 49), geometry(input=64, aspect="crop"), (64, 78), (64, 64), 33),
        ((49, 40), geometry(input="64", aspect="pad"), (78, 64), (80, 64), 33),
        ((40, 49), geometry(resize=64, crop="48x96", aspect="pad"), (64, 78), (48, 96), 33),
    ]
    for shape, how, resized, size, resolution in cases:
        frame = how.frame(*shape)
        assert (frame.resized, frame.size) == (resized, size)
        mask = rng.random(shape) < 0.4
        expected = align_oracle(mask, resized, size, resolution)
        np.testing.assert_array_equal(align_mask(mask, how, resolution), expected)


def test_an_input_that_keeps_its_aspect_is_cropped_or_padded_to_the_stride() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 78, 3), np.uint8)
    plain: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    scaled = (image / 255).astype(np.float32).transpose(2, 0, 1)
    cropped = preprocess(image, replace(geometry(input=64, aspect="crop"), **plain))
    np.testing.assert_allclose(cropped, scaled[:, :, 7:71], atol=1e-6)
    padded = preprocess(image, replace(geometry(input=64, aspect="pad"), **plain))
    assert padded.shape == (3, 64, 80)
    np.testing.assert_allclose(padded[:, :, 1:79], scaled, atol=1e-6)
    np.testing.assert_array_equal(padded[:, :, [0, 79]], padded[:, :, [1, 78]])


def test_a_mask_at_the_size_of_the_resize_is_cropped_without_change() -> None:
    mask = np.random.default_rng(1).random((256, 256)) < 0.5
    np.testing.assert_array_equal(align_mask(mask, PAPER, 224), mask[16:240, 16:240])
