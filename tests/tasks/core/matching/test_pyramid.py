from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tasks.core.matching.pyramid import concatenate, smooth


def test_concatenation_keeps_the_finest_level_and_repeats_coarse_cells() -> None:
    fine, coarse = torch.randn(6, 4, 2), torch.randn(3, 2, 5)
    found = concatenate([fine, coarse], "nearest")
    assert found.shape == (6, 4, 7)
    assert torch.equal(found[:, :, :2], fine)
    assert torch.equal(found[3, 2, 2:], coarse[1, 1])


def test_bilinear_concatenation_interpolates_between_the_centres_of_cells() -> None:
    coarse = torch.tensor([[[0.0], [4.0]]])
    found = concatenate([torch.zeros(1, 4, 1), coarse], "bilinear")
    assert found[0, :, 1].tolist() == [0, 1, 3, 4]


def test_smoothing_averages_upsampled_maps_then_filters() -> None:
    first, second = np.full((2, 2), 3, np.float32), np.full((5, 5), 5, np.float32)
    np.testing.assert_allclose(smooth([first, second], 9, 2.0), np.full((9, 9), 4), rtol=1e-6)


def test_the_filter_is_a_gaussian_in_pixels_of_the_metric_resolution() -> None:
    values = np.random.default_rng(0).normal(size=(11, 11)).astype(np.float32)
    np.testing.assert_allclose(smooth([values], 11, 1.5), gaussian_filter(values, 1.5), rtol=1e-6)
    np.testing.assert_array_equal(smooth([values], 11, 0), values)


@pytest.mark.parametrize("resolution", [7, 30])
def test_a_map_has_the_resolution_asked_for(resolution: int) -> None:
    found = smooth([np.zeros((14, 14), np.float32)], resolution, 4)
    assert found.shape == (resolution, resolution)
    assert found.dtype == np.float32
