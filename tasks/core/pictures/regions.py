"""Connected regions of an image whose scores exceed a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class Region:
    """One region, in pixels of the image, counted from its upper left corner.

    Attributes:
        left, top, width, height: the smallest box around it.
        area: its pixels.
        x, y: their mean position.
        peak: its highest score.
        peak_x, peak_y: where that is.
        mean: its mean score.
    """

    left: int
    top: int
    width: int
    height: int
    area: int
    x: float
    y: float
    peak: float
    peak_x: int
    peak_y: int
    mean: float


def find_regions(heat: NDArray[np.float32], threshold: float) -> tuple[list[Region], list[NDArray[np.bool_]]]:
    """The 8-connected regions of scores (H, W) above a threshold, highest peak first, each also in its box.

    What was not evaluated, NaN, is in none.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(heat > threshold, structure=_EIGHT_CONNECTED)
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        rows, columns = np.nonzero(inside)
        scores = heat[box][inside]
        top, left = box[0].start, box[1].start
        best = int(np.argmax(scores))
        region = Region(
            left,
            top,
            box[1].stop - left,
            box[0].stop - top,
            len(scores),
            left + float(columns.mean()),
            top + float(rows.mean()),
            float(scores[best]),
            left + int(columns[best]),
            top + int(rows[best]),
            float(scores.mean(dtype=np.float64)),
        )
        found.append((region, inside))
    found.sort(key=lambda pair: (-pair[0].peak, pair[0].top, pair[0].left))
    return [region for region, _ in found], [inside for _, inside in found]
