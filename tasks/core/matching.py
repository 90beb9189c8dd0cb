"""Distances from each patch of a test image to its nearest patches in the gallery (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.descent import NestedSearch, is_nested
from tasks.core.pruning import PrunedSearch
from tasks.core.pyramid import concatenate

_QUERY_TILE = 784

Pyramid = Sequence[NDArray[Any]]


class _Search(Protocol):
    """Nearest patches of a query among the images offered: (H, W, kappa), ascending, for each match."""

    def offer(self, levels: Sequence[Tensor]) -> None: ...

    def squared(self) -> list[NDArray[np.float32]]: ...


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
        gallery: pyramids of the same shapes; those likely to match first are found sooner.
        fusion: match all levels as one vector, or each on its own.
        upsampling: how coarse levels reach the finest grid before they are concatenated.
        kappa: number of nearest patches, at most the number of patches of the coarsest matched grid.
        device: where the products are computed.
    """

    def tensors(pyramid: Pyramid) -> list[Tensor]:
        return [torch.from_numpy(np.asarray(level)).to(device).float() for level in pyramid]

    shapes = [np.shape(level) for level in query]
    concatenated = fusion == "concatenate"
    height, width = shapes[0 if concatenated else -1][:2]
    if kappa > height * width:
        raise ValueError(f"kappa is {kappa}: the coarsest grid matched has {height * width} patches")
    search: _Search
    if not concatenated or len(shapes) not in (2, 3) or device != "cpu":
        search = DenseSearch(tensors(query), upsampling if concatenated else None, kappa)
    elif upsampling == "nearest" and is_nested(shapes):
        search = NestedSearch(tensors(query), kappa)
    else:
        search = PrunedSearch(tensors(query), upsampling, kappa)
    offered = 0
    for offered, pyramid in enumerate(gallery, start=1):
        if [np.shape(level) for level in pyramid] != shapes:
            raise ValueError(
                f"image {offered} of the gallery has levels of other shapes than the query's {shapes}"
            )
        search.offer(tensors(pyramid))
    if not offered:
        raise ValueError("the gallery is empty")
    return search.squared()


def patch_scores(
    squared: NDArray[np.float32], distance: Literal["squared", "euclidean"]
) -> NDArray[np.float32]:
    """Pixel scores (H, W): distances, or their squares, averaged over the kappa nearest (equation 3)."""
    values = np.sqrt(squared) if distance == "euclidean" else squared
    return np.asarray(values.mean(axis=2))


class DenseSearch:
    """All products of a query with an image at once, on any device."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"] | None, kappa: int
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci), to be concatenated, or with None each on its own."""
        self._upsampling = upsampling
        self._grids = self._fused(levels)
        self._kappa = kappa
        self._found = [
            grid.new_full((*grid.shape[:2], kappa), torch.inf).flatten(0, 1) for grid in self._grids
        ]

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        self._found = [
            torch.cat([found, _nearest_in(query.flatten(0, 1), patches.flatten(0, 1), self._kappa)], dim=1)
            .topk(self._kappa, largest=False)
            .values
            for found, query, patches in zip(self._found, self._grids, self._fused(levels), strict=True)
        ]

    def squared(self) -> list[NDArray[np.float32]]:
        """Squared distances (H, W, kappa), ascending, for each match."""
        pairs = zip(self._found, self._grids, strict=True)
        return [found.reshape(*grid.shape[:2], self._kappa).cpu().numpy() for found, grid in pairs]

    def _fused(self, levels: Sequence[Tensor]) -> Sequence[Tensor]:
        return levels if self._upsampling is None else [concatenate(levels, self._upsampling)]


def _nearest_in(queries: Tensor, patches: Tensor, kappa: int) -> Tensor:
    """Squared distances (P, kappa), ascending, from queries (P, C) to patches (G, C).

    The nearest are found by the products |g|² - 2 q·g of centred vectors, then measured from the
    differences, which lose nothing to cancellation.
    """
    centre = queries.mean(dim=0)
    queries, patches = queries - centre, patches - centre
    columns = torch.cat([patches, patches.square().sum(dim=1, keepdim=True)], dim=1).T
    found = []
    for tile in torch.split(queries, _QUERY_TILE):
        rows = torch.cat([-2 * tile, tile.new_ones(len(tile), 1)], dim=1)
        nearest = (rows @ columns).topk(kappa, dim=1, largest=False).indices
        found.append((tile[:, None] - patches[nearest]).square().sum(dim=2))
    return torch.cat(found)
