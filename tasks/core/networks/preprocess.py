"""The geometry that images and masks go through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.core.networks.traits import Preprocessing


def preprocess(image: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """A normalised input (3, crop, crop) float32 from an RGB image (H, W, 3) uint8.

    Resized bilinearly with antialiasing, centre-cropped (paper, section 4.1).
    """
    size = (how.resize, how.resize)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    start = (how.resize - how.crop) // 2
    crop = resized[start : start + how.crop, start : start + how.crop].astype(np.float32) / 255
    mean, std = np.asarray(how.mean, np.float32), np.asarray(how.std, np.float32)
    return np.ascontiguousarray(((crop - mean) / std).transpose(2, 0, 1))


def align_mask(mask: NDArray[np.bool_], how: Preprocessing, resolution: int) -> NDArray[np.bool_]:
    """A mask (H, W) brought to (R, R) through the same geometry, in one nearest sampling."""
    start = (how.resize - how.crop) // 2
    centres = (np.arange(resolution) + 0.5) * (how.crop / resolution) + start
    rows, columns = (np.floor(centres * (side / how.resize)).astype(np.intp) for side in mask.shape)
    return mask[np.ix_(rows, columns)]
