"""From an anomaly map back to the image: the inverse of the geometry in `preprocess.py`, and its pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tasks.core.networks.geometry import Preprocessing

NOT_EVALUATED = 64  # in a picture of a mask: below half scale, so that every reader of masks sees "normal"
_OPACITY = 0.6  # of the heat over the image


def restore(
    anomaly_map: NDArray[np.float32], how: Preprocessing, height: int, width: int
) -> NDArray[np.float32]:
    """A map (R, R) at the size of its image, (height, width), sampled bilinearly at the pixels' centres.

    Pixels whose centre lies outside the centre crop were not evaluated: NaN.
    """
    frame = how.frame(height, width)
    rows, columns = (
        _samples(*sides, len(anomaly_map)) for sides in zip((height, width), *frame, strict=True)
    )
    low, high, share = rows
    tall = anomaly_map[low] * (1 - share)[:, None] + anomaly_map[high] * share[:, None]
    low, high, share = columns
    return np.asarray(tall[:, low] * (1 - share) + tall[:, high] * share, dtype=np.float32)


def _samples(
    side: int, resized: int, start: int, size: int, resolution: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """The two map positions beside the centre of each of `side` pixels, and the share of the second.

    `resized`, `start` and `size` are as in `Frame`, along this axis.
    """
    crop = (np.arange(side) + 0.5) * (resized / side) - start
    position = np.clip(crop * (resolution / size) - 0.5, 0, resolution - 1)
    low = np.floor(position).astype(np.intp)
    share = np.where((crop >= 0) & (crop < size), position - low, np.nan)
    return low, np.minimum(low + 1, resolution - 1), share.astype(np.float32)


def pixel(point: tuple[float, float], how: Preprocessing, width: int, height: int) -> tuple[int, int]:
    """Column and row in an image of a point of its evaluated area, x and y as shares of that."""
    sides = height or 1, width or 1
    row, column = (
        min(max(int((share * size + start) / resized * side), 0), side - 1)
        for share, side, resized, start, size in zip(point[::-1], sides, *how.frame(*sides), strict=True)
    )
    return column, row


def heat_picture(
    image: NDArray[np.uint8], heat: NDArray[np.float32], highest: float, colours: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """A heat map (H, W) over its image (H, W, 3) as RGBA (H, W, 4); what was not evaluated is transparent.

    `colours` (256, 3) run from 0 to `highest`; values beyond count as the ends.
    """
    evaluated = ~np.isnan(heat)
    share = np.clip(np.where(evaluated, heat, 0) / max(highest, np.finfo(np.float32).tiny), 0, 1)
    coloured = colours[(share * 255).astype(np.uint8)]
    blended = (image * (1 - _OPACITY) + coloured * _OPACITY).astype(np.uint8)
    return np.dstack([blended, evaluated.astype(np.uint8) * 255])


def mask_picture(mask: NDArray[np.bool_], evaluated: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A predicted mask (H, W) as grey: 255 anomalous, 0 normal, `NOT_EVALUATED` outside the crop."""
    return np.where(evaluated, np.where(mask, 255, 0), NOT_EVALUATED).astype(np.uint8)


def quantise(heat: NDArray[np.float32], lowest: float, step: float) -> NDArray[np.uint16]:
    """A heat map (H, W) in 16 bits: value = lowest + (pixel - 1) * step; pixel 0 was not evaluated."""
    levels = np.rint((heat.astype(np.float64) - lowest) / step) + 1
    return np.where(np.isnan(heat), 0, np.clip(levels, 1, 65535)).astype(np.uint16)
