"""What is done to the levels of an image before they are matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from tasks.core.matching.pyramid import concatenate

_TINY = torch.finfo(torch.float32).tiny


class Preparation(NamedTuple):
    """How levels become those that are searched.

    Attributes:
        average: cells a side over which each level is averaged, an odd number; 1 for none.
        unit_levels: whether the vectors of each level are then brought to length 1.
        unit_patches: whether the vectors that are matched are: half their squared distance is 1 - cosine.
    """

    average: int = 1
    unit_levels: bool = False
    unit_patches: bool = False

    def apply(self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"]) -> list[Tensor]:
        """The levels (Hi, Wi, Ci) that are searched: as many, or one of several joined at the finest grid.

        The length of a patch is that of all its levels, so patches of length 1 are of one level.
        """
        found = [averaged(level, self.average) for level in levels] if self.average > 1 else list(levels)
        if self.unit_levels:
            found = [unit(level) for level in found]
        return [unit(concatenate(found, upsampling))] if self.unit_patches else found


UNCHANGED = Preparation()


def averaged(level: Tensor, cells: int) -> Tensor:
    """A level (H, W, C), each vector the mean over the cells x cells around it that are inside."""
    planes = level.permute(2, 0, 1)[None]
    means = avg_pool2d(planes, cells, stride=1, padding=cells // 2, count_include_pad=False)
    return means[0].permute(1, 2, 0).contiguous()


def unit(level: Tensor) -> Tensor:
    """A level (H, W, C) of vectors of length 1; those of length 0 stay."""
    lengths: Tensor = level.norm(dim=2, keepdim=True)
    return level / lengths.clamp_min(_TINY)
