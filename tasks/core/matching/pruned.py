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

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.core.matching.blocks import Frame, Searched
from tasks.core.matching.kernels import FARTHEST, ROUNDING
from tasks.core.matching.visit import visit

_ROWS = 1024  # of a query's blocks, whose products with a gallery's are held at once


class PrunedSearch:
    """The nearest patches of one query; the images of its gallery are offered one after the other."""

    def __init__(self, query: Searched, frame: Frame, kappa: int) -> None:
        """Prepare a query, made in the frame that the images are made in."""
        self._frame = frame
        self._vectors = frame.vectors(query.levels)
        self._blocks = query.blocks
        self._table = query.blocks.table.copy()
        self._table[:, :, 0] = 1
        centres, radii = (torch.from_numpy(each) for each in (query.blocks.centres, query.blocks.radii))
        self._squares = (centres[:, -1] + radii.square()).numpy()
        self._lines = torch.cat([-2 * centres[:, :-1], torch.ones(len(centres), 1)], dim=1)
        self._products = torch.empty(min(len(centres), _ROWS) if frame.is_pyramid else 0, len(centres))
        self._best = np.full((*query.levels[0].shape[:2], kappa), FARTHEST, dtype=np.float32)

    def offer(self, image: Searched) -> None:
        """Let the patches of an image compete."""
        own, other = self._blocks, image.blocks
        finest, *coarse = image.levels
        # Products are of centred vectors, differences are not: they round off more where the means are large.
        largest = max(own.largest, other.largest)
        slack = ROUNDING * (own.largest + other.largest + np.sqrt(largest * self._frame.shift))
        count = other.table.shape[1]
        for start in range(0, count, _ROWS):
            stop = min(start + _ROWS, count)
            products = self._products[: stop - start]
            if self._frame.is_pyramid:
                torch.mm(self._lines[start:stop], torch.from_numpy(other.centres).T, out=products)
            visit(
                self._best,
                start,
                stop,
                products.numpy(),
                self._squares,
                own.radii,
                own.norms,
                self._table,
                self._vectors,
                other.radii,
                other.table,
                finest,
                tuple(coarse),
                self._frame.grid,
                np.float32(slack),
            )

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best


def is_worth_pruning(shapes: Sequence[Sequence[int]]) -> bool:
    """Whether levels (Hi, Wi, Ci) are several, or one of so many patches that finding axes pays."""
    height, width, channels = shapes[0]
    return len(shapes) > 1 or height * width >= 4 * channels
