"""Levels of a feature pyramid on one grid, and maps on the way to metric resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate


def concatenate(levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"]) -> Tensor:
    """Patch vectors (H, W, C1 + C2 + ...) at the finest grid, of levels (Hi, Wi, Ci), unscaled.

    Paper, section 3.3: "concatenating the different levels", each with equal weight.
    """
    size = levels[0].shape[:2]
    return torch.cat([resized(level, size, upsampling) for level in levels], dim=2)


def smooth(
    distance_maps: Sequence[NDArray[np.float32]], resolution: int, sigma: float
) -> NDArray[np.float32]:
    """The anomaly map (R, R): maps (Hi, Wi) upsampled bilinearly, averaged, and Gaussian-filtered.

    `sigma` is in pixels at `resolution` R; 0 filters nothing.
    """
    from scipy.ndimage import gaussian_filter

    mean = mean_map(distance_maps, (resolution, resolution))
    return np.asarray(gaussian_filter(mean, sigma) if sigma else mean, dtype=np.float32)


def mean_map(maps: Sequence[NDArray[np.float32]], size: Sequence[int]) -> NDArray[np.float32]:
    """The mean of maps (Hi, Wi), each brought to one size (H, W) bilinearly."""
    upsampled = [resized(torch.from_numpy(each)[:, :, None], size, "bilinear")[:, :, 0] for each in maps]
    return np.asarray(torch.stack(upsampled).mean(dim=0).numpy())


def resized(level: Tensor, size: Sequence[int], mode: Literal["bilinear", "nearest"]) -> Tensor:
    """A level (H, W, C) at a grid of this size."""
    if tuple(level.shape[:2]) == tuple(size):
        return level
    align = False if mode == "bilinear" else None
    planes = interpolate(level.permute(2, 0, 1)[None], size=tuple(size), mode=mode, align_corners=align)
    return planes[0].permute(1, 2, 0)
