from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.core.config import Configuration
from tasks.core.networks.traits import Preprocessing
from tasks.core.networks.preprocess import align_mask, preprocess

PAPER = Configuration().preprocessing
FULL = Configuration(protocol="full").preprocessing
FULL256 = Configuration(protocol="full256").preprocessing


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


def align_oracle(mask: np.ndarray, how: Preprocessing, resolution: int) -> np.ndarray:
    """Each output pixel's centre, taken back through crop and resize, one at a time."""
    found = np.zeros((resolution, resolution), bool)
    margin = (how.resize - how.crop) / 2
    for row in range(resolution):
        for column in range(resolution):
            y = ((row + 0.5) * how.crop / resolution + margin) * mask.shape[0] / how.resize
            x = ((column + 0.5) * how.crop / resolution + margin) * mask.shape[1] / how.resize
            found[row, column] = mask[int(y), int(x)]
    return found


def test_masks_go_through_the_geometry_of_their_image() -> None:
    rng = np.random.default_rng(0)
    for shape, how, resolution in (
        ((90, 131), PAPER, 33),
        ((256, 256), PAPER, 224),
        ((57, 40), FULL, 64),
        ((480, 856), FULL256, 256),
    ):
        mask = rng.random(shape) < 0.4
        np.testing.assert_array_equal(align_mask(mask, how, resolution), align_oracle(mask, how, resolution))


def test_a_mask_at_the_size_of_the_resize_is_cropped_without_change() -> None:
    mask = np.random.default_rng(1).random((256, 256)) < 0.5
    np.testing.assert_array_equal(align_mask(mask, PAPER, 224), mask[16:240, 16:240])
