"""Exact nearest patches of concatenated pyramids or of one level, pruned by bounds that grow tighter.

1. Coarse levels vary little within a block of 2 x 2 fine positions. With the centre and the radius of a
   block, no distance of two blocks' patches is below (distance of the centres - both radii)². In the coarse
   levels' leading coordinates the centres' distances are one small matrix product.
2. Of the pairs of blocks left, all 16 pairs of patches are bounded in the leading coordinates of the whole
   vectors, a few coordinates at a time, for as long as one may be near.
3. Pairs of patches that are left are measured from their differences, which lose nothing to cancellation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.blocks import LONG_STEP, SHORT_STEP, Frame
from tasks.core.matching.kernels import FARTHEST, ROUNDING
from tasks.core.matching.lanes import LANES, SIDE
from tasks.core.matching.visit import visit

_ROWS = 1024  # of a query's blocks, whose products with a gallery's are held at once


class PrunedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"], kappa: int
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci) float32, finest first."""
        self._means = [level.mean(dim=(0, 1)) for level in levels]
        self._room = [_room(level.shape) for level in levels]
        self._is_pyramid = len(levels) > 1
        if not self._is_pyramid:
            self._room.append(_room((1, 1, 1)))  # a coarse level of nothing
        finest, *coarse = (level.clone() for level in self._centred(levels))
        step = LONG_STEP if self._is_pyramid else SHORT_STEP
        self._frame = Frame([finest, *coarse], upsampling, step)
        self._vectors = np.concatenate([finest.flatten(0, 1).numpy(), self._frame.upsampled(coarse)], axis=1)
        blocks = self._frame.blocks([finest, *coarse])
        self._largest, self._norms, self._radii = blocks.largest, blocks.norms.copy(), blocks.radii.copy()
        self._table = torch.from_numpy(blocks.table).repeat_interleave(SIDE, dim=3).numpy()
        self._table[:, :, 0] = 1
        centres = torch.from_numpy(blocks.centres)
        self._squares = (centres[:, -1] + torch.from_numpy(self._radii).square()).numpy()
        self._lines = torch.cat([-2 * centres[:, :-1], torch.ones(len(centres), 1)], dim=1)
        self._products = torch.empty(min(len(centres), _ROWS) if self._is_pyramid else 0, len(centres))
        self._best = np.full((*finest.shape[:2], kappa), FARTHEST, dtype=np.float32)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        centred = self._centred(levels)
        finest, *coarse = (level.numpy() for level in centred)
        blocks = self._frame.blocks(centred)
        slack = np.float32(ROUNDING * (self._largest + blocks.largest))
        count = blocks.table.shape[1]
        for start in range(0, count, _ROWS):
            stop = min(start + _ROWS, count)
            products = self._products[: stop - start]
            if self._is_pyramid:
                torch.mm(self._lines[start:stop], torch.from_numpy(blocks.centres).T, out=products)
            visit(
                self._best,
                start,
                stop,
                products.numpy(),
                self._squares,
                self._radii,
                self._norms,
                self._table,
                self._vectors,
                blocks.radii,
                blocks.table,
                finest,
                tuple(coarse),
                self._frame.grid,
                slack,
            )

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best

    def _centred(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels less the query's means, channels filled up with 0; the next call overwrites them.

        Distances stay, rounding shrinks.
        """
        for room, level, mean in zip(self._room, levels, self._means, strict=False):
            torch.sub(level, mean, out=room[:, :, : level.shape[2]])
        return self._room


def is_worth_pruning(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether levels (Hi, Wi, Ci) are several, or one of so many patches that finding axes pays."""
    height, width, channels = shapes[0]
    return len(shapes) > 1 or height * width >= 4 * channels


def _room(shape: Sequence[int]) -> Tensor:
    """Zeros of a level's shape, channels to the next multiple of 16."""
    return torch.zeros(*shape[:2], -(-shape[2] // LANES) * LANES)
