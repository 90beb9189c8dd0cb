"""What images and masks go through on their way to the backbone's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.core.networks.geometry import Preprocessing


def preprocess(image: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """A normalised input (3, H, W) float32 from an RGB image (H', W', 3) uint8."""
    return normalised(cropped(image, how), how)


def cropped(image: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.uint8]:
    """What the network sees (H, W, 3) uint8 of an RGB image (H', W', 3) uint8.

    Resized bilinearly with antialiasing, centre-cropped (paper, section 4.1); padding repeats the border.
    """
    (rows, columns), start, size = how.frame(*image.shape[:2])
    resized = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR))
    kept = [
        np.clip(np.arange(first, first + length), 0, limit - 1)
        for first, length, limit in zip(start, size, (rows, columns), strict=True)
    ]
    crop: NDArray[np.uint8] = resized[np.ix_(*kept)]
    return crop


def normalised(crop: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """A normalised input (3, H, W) float32 from what the network sees (H, W, 3) uint8."""
    mean, std = np.asarray(how.mean, np.float32), np.asarray(how.std, np.float32)
    return np.ascontiguousarray(((crop.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1))


def align_mask(mask: NDArray[np.bool_], how: Preprocessing, resolution: int) -> NDArray[np.bool_]:
    """A mask (H, W) brought to (R, R) through the same geometry, in one nearest sampling; padding is 0."""
    frame = how.frame(*mask.shape)
    places, inside = [], []
    for side, resized, start, size in zip(mask.shape, *frame, strict=True):
        centres = (np.arange(resolution) + 0.5) * (size / resolution) + start
        found = np.floor(centres * (side / resized)).astype(np.intp)
        places.append(np.clip(found, 0, side - 1))
        inside.append((found >= 0) & (found < side))
    aligned: NDArray[np.bool_] = mask[np.ix_(*places)] & inside[0][:, None] & inside[1]
    return aligned
