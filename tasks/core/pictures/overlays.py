"""Pictures of what was evaluated: the crop, its anomaly map, the predicted and the true mask."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from tasks.core.networks.geometry import Preprocessing

PREDICTED = (230, 159, 0)  # orange and sky blue: told apart by every kind of colour vision
TRUTH = (86, 180, 233)
_FILL = 0.6  # opacity of the predicted mask
_HEAT = 0.8  # opacity of the map at the upper end of its scale
_TINY = float(np.finfo(np.float32).tiny)
_BACKGROUND = 118  # grey around what is cut out

Tile = NDArray[np.uint8]


def evaluated_area(image: NDArray[np.uint8], how: Preprocessing, side: int) -> Tile:
    """The part of an RGB image (H, W, 3) that the backbone sees, as (side, side, 3)."""
    (top, bottom), (left, right) = (
        (start * side / resized, (start + size) * side / resized)
        for side, resized, start, size in zip(image.shape[:2], *how.frame(*image.shape[:2]), strict=True)
    )
    beyond = [
        (math.ceil(max(0, -first)), math.ceil(max(0, last - side)))
        for first, last, side in ((top, bottom, image.shape[0]), (left, right, image.shape[1]))
    ]
    (above, _), (before, _) = beyond
    picture = Image.fromarray(np.pad(image, (*beyond, (0, 0)), mode="edge"))
    box = (left + before, top + above, right + before, bottom + above)
    return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def enlarged(anomaly_map: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """A map (R, R) brought to (side, side) bilinearly."""
    return np.asarray(Image.fromarray(anomaly_map).resize((side, side), Image.Resampling.BILINEAR))


def heat(
    tile: Tile, values: NDArray[np.float32], scale: tuple[float, float], colours: NDArray[np.uint8]
) -> Tile:
    """A map (S, S) over a tile (S, S, 3): the higher the value on its scale, the more colour.

    `colours` (256, 3) runs from the lower to the upper end of `scale`; values beyond an end count as the end.
    """
    low, high = scale
    within = np.clip(values.astype(np.float64), low, max(low, high)) - low
    share = (within / max(high - low, _TINY))[:, :, None]
    coloured = colours[(share[:, :, 0] * 255).astype(np.uint8)]
    grey = tile.mean(axis=2, keepdims=True) * 0.5 + tile * 0.5
    blended: NDArray[np.float32] = np.rint(grey * (1 - _HEAT * share) + coloured * (_HEAT * share))
    return blended.astype(np.uint8)


def outline(mask: NDArray[np.bool_], width: int = 2) -> NDArray[np.bool_]:
    """The pixels of a mask (H, W) within `width` of its border; the border of the picture is none."""
    inside: NDArray[np.bool_] = ndimage.binary_erosion(mask, iterations=width, border_value=1)
    return mask & ~inside


def marked(tile: Tile, predicted: NDArray[np.bool_], truth: NDArray[np.bool_] | None) -> Tile:
    """A tile (S, S, 3) with the predicted mask filled and, if there is one, the true mask outlined."""
    values = tile.astype(np.float32)
    values[predicted] += _FILL * (np.array(PREDICTED, np.float32) - values[predicted])
    if truth is not None:
        line = outline(truth)
        values[ndimage.binary_dilation(line) & ~line] *= 0.35
        values[line] = TRUTH
    return np.rint(values).astype(np.uint8)


def cut_out(tile: Tile, predicted: NDArray[np.bool_]) -> Tile:
    """The predicted pixels of a tile (S, S, 3) on grey."""
    return np.where(predicted[:, :, None], tile, np.uint8(_BACKGROUND))


def paired(
    tile: Tile,
    training: Tile,
    at: tuple[float, float],
    there: tuple[float, float],
    cell: tuple[float, float],
    window: tuple[float, float, float, float] | None,
) -> Tile:
    """A patch of a tile (S, S, 3) and its best match in another, side by side as (S, 2 S, 3), framed.

    Centres x and y, width and height of a patch, `cell`, and the window that was compared (left, top, right,
    bottom) are shares of a side.
    """
    side = len(tile)
    picture = Image.fromarray(np.concatenate([tile, training], axis=1))
    draw = ImageDraw.Draw(picture)
    wide, high = cell
    for (x, y), start in ((at, 0), (there, side)):
        left, top = start + side * (x - wide / 2), side * (y - high / 2)
        draw.rectangle([left, top, left + side * wide, top + side * high], outline=PREDICTED, width=2)
    if window is not None:
        left, top, right, bottom = (side * share for share in window)
        draw.rectangle([side + left, top, side + right - 1, bottom - 1], outline=TRUTH, width=2)
    return np.asarray(picture)
