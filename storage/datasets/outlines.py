"""Masks from the outlines and run lengths of annotations in COCO's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def draw(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of a segmentation: polygons [x, y, ...], or {"counts", "size"} run lengths.

    Raises:
        ValueError: the runs are not of an image of this size.
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        return from_runs(decode_runs(counts) if isinstance(counts, str) else counts, height, width)
    picture = Image.new("1", (width, height))
    for polygon in segmentation:
        ImageDraw.Draw(picture).polygon(list(polygon), fill=1)
    return np.asarray(picture)


def from_runs(runs: Sequence[int], height: int, width: int) -> NDArray[np.bool_]:
    """The mask (H, W) of lengths of runs, column by column, the first outside.

    Raises:
        ValueError: they are not of an image of this size.
    """
    if sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels in an image of {height * width}")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, np.asarray(runs, dtype=np.int64)).reshape(width, height).T


def decode_runs(text: str) -> list[int]:
    """Lengths of runs from their compressed text: 5 bits a character, each from the third on a difference."""
    runs: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
