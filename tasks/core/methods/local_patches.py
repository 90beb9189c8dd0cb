"""PatchCore's locally averaged patches of an image, some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool1d

from tasks.core.matching.preparation import averaged
from tasks.core.matching.pyramid import resized
from tasks.core.methods.interface import Pyramid

_CELLS = 3  # a side over which a level is averaged
_POSITIONS = 4096  # of the finest grid at once, where levels can be cut


def local_patches(pyramid: Pyramid, dimension: int) -> Iterator[NDArray[np.float32]]:
    """Patches of levels (Hi, Wi, Ci), finest first, row by row: arrays (n, dimension), one after the other.

    Patches are the same in whatever strips they come. Levels are cut where each has a power of two times the
    rows of the next coarser one, as levels of large inputs have: elsewhere the weights of bilinear upsampling
    would round differently, and all patches come at once.
    """
    height, width = np.shape(pyramid[0])[:2]
    steps = [height // len(level) for level in pyramid]
    fits = all(
        step * len(level) == height and step.bit_count() == 1
        for step, level in zip(steps, pyramid, strict=True)
    )
    rows = max(1, _POSITIONS // width // max(steps)) * max(steps) if fits else height
    for first in range(0, height, rows):
        yield _strip(pyramid, dimension, first, min(first + rows, height))


def _strip(pyramid: Pyramid, dimension: int, first: int, last: int) -> NDArray[np.float32]:
    """The patches (n, dimension) of the rows of the finest grid from `first` to before `last`."""
    height, width = np.shape(pyramid[0])[:2]
    levels = [_rows(level, dimension, first, last, (height, width)) for level in pyramid]
    return adaptive_avg_pool1d(torch.cat(levels, dim=2), dimension).flatten(0, 1).numpy()


def _rows(
    level: NDArray[np.floating], dimension: int, first: int, last: int, size: tuple[int, int]
) -> Tensor:
    """These rows, on the finest grid of a size (H, W), of a level averaged, pooled and upsampled.

    Averaging and upsampling look at one row more on either side; what they make of the outermost is dropped.
    """
    height, width = size
    own = len(level)
    around = int(own < height)
    begin, end = max(0, first * own // height - around), min(own, -(-last * own // height) + around)
    top, bottom = max(0, begin - _CELLS // 2), min(own, end + _CELLS // 2)
    means = averaged(torch.from_numpy(np.asarray(level[top:bottom], np.float32)), _CELLS)
    pooled = adaptive_avg_pool1d(means[begin - top : end - top], dimension)
    upsampled = resized(pooled, (height * (end - begin) // own, width), "bilinear")
    above = first - begin * height // own
    return upsampled[above : above + last - first]
