"""Distances from each patch of a test image to its nearest patches in the gallery (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.pyramid import concatenate

_QUERY_TILE = 784

Pyramid = Sequence[NDArray[Any]]


def match(
    query: Pyramid,
    gallery: Iterable[Pyramid],
    *,
    fusion: Literal["concatenate", "average"] = "concatenate",
    upsampling: Literal["bilinear", "nearest"] = "bilinear",
    kappa: int = 1,
    device: str = "cpu",
) -> list[NDArray[np.float32]]:
    """Squared distances (H, W, kappa), nearest first, from a query's patches to the gallery's, exact.

    The gallery's patches at all positions of all its images compete. One array is returned for the
    concatenated levels, or one a level for "average". One gallery image is in memory at a time.

    Args:
        query: levels (Hi, Wi, Ci), finest first.
        gallery: pyramids of the same shapes.
        fusion: match all levels as one vector, or each on its own.
        upsampling: how coarse levels reach the finest grid before they are concatenated.
        kappa: number of nearest patches, at most the number of patches of the coarsest matched level.
        device: where the products are computed.
    """

    def fused(pyramid: Pyramid) -> list[Tensor]:
        levels = [torch.from_numpy(np.asarray(level)).to(device).float() for level in pyramid]
        return [concatenate(levels, upsampling)] if fusion == "concatenate" else levels

    queries = fused(query)
    found: list[Tensor] | None = None
    for pyramid in gallery:
        blocks = [
            _nearest_in(grid.flatten(0, 1), patches.flatten(0, 1), kappa)
            for grid, patches in zip(queries, fused(pyramid), strict=True)
        ]
        if found is None:
            found = blocks
        else:
            pairs = zip(found, blocks, strict=True)
            found = [torch.cat(pair, dim=1).topk(kappa, largest=False).values for pair in pairs]
    if found is None:
        raise ValueError("the gallery is empty")
    pairs = zip(found, queries, strict=True)
    return [block.reshape(*grid.shape[:2], kappa).cpu().numpy() for block, grid in pairs]


def patch_scores(
    squared: NDArray[np.float32], distance: Literal["squared", "euclidean"]
) -> NDArray[np.float32]:
    """Pixel scores (H, W): distances, or their squares, averaged over the kappa nearest (equation 3)."""
    values = np.sqrt(squared) if distance == "euclidean" else squared
    return np.asarray(values.mean(axis=2))


def _nearest_in(queries: Tensor, patches: Tensor, kappa: int) -> Tensor:
    """Squared distances (P, kappa), ascending, from queries (P, C) to patches (G, C).

    The nearest are found by the products |g|² - 2 q·g of centred vectors, then measured from the
    differences, which lose nothing to cancellation.
    """
    if kappa > len(patches):
        raise ValueError(f"kappa is {kappa}: the coarsest level of an image has {len(patches)} patches")
    centre = queries.mean(dim=0)
    queries, patches = queries - centre, patches - centre
    columns = torch.cat([patches, patches.square().sum(dim=1, keepdim=True)], dim=1).T
    found = []
    for tile in torch.split(queries, _QUERY_TILE):
        rows = torch.cat([-2 * tile, tile.new_ones(len(tile), 1)], dim=1)
        nearest = (rows @ columns).topk(kappa, dim=1, largest=False).indices
        found.append((tile[:, None] - patches[nearest]).square().sum(dim=2).sort(dim=1).values)
    return torch.cat(found)
