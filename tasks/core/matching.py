"""Distances from each patch of a test image to its nearest patches in the gallery (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.descent import NestedSearch, is_nested
from tasks.core.pruning import ROUNDING, PrunedSearch
from tasks.core.pyramid import concatenate

_QUERY_TILE, _PATCH_TILE = 784, 1568  # their products stay in cache

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
    """All products of a query with an image, tile by tile, on any device."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"] | None, kappa: int
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci), to be concatenated, or with None each on its own."""
        self._upsampling = upsampling
        self._kappa = kappa
        self._grids = [tuple(grid.shape[:2]) for grid in self._fused(levels)]
        self._queries = [_Queries(grid.flatten(0, 1), kappa) for grid in self._fused(levels)]

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete."""
        for queries, grid in zip(self._queries, self._fused(levels), strict=True):
            queries.offer(grid.flatten(0, 1))

    def squared(self) -> list[NDArray[np.float32]]:
        """Squared distances (H, W, kappa), ascending, for each match."""
        pairs = zip(self._queries, self._grids, strict=True)
        return [queries.found.reshape(*grid, self._kappa).cpu().numpy() for queries, grid in pairs]

    def _fused(self, levels: Sequence[Tensor]) -> Sequence[Tensor]:
        return levels if self._upsampling is None else [concatenate(levels, self._upsampling)]


class _Queries:
    """Vectors (P, C), and `found` (P, kappa), ascending squared distances to the nearest offered."""

    def __init__(self, vectors: Tensor, kappa: int) -> None:
        self._centre = vectors.mean(dim=0)
        self._vectors = vectors - self._centre
        self._rows = torch.cat([-2 * self._vectors, vectors.new_ones(len(vectors), 1)], dim=1)
        self._norms = self._vectors.square().sum(dim=1)
        self._products = vectors.new_empty(_QUERY_TILE * _PATCH_TILE)
        self.found = vectors.new_full((len(vectors), kappa), torch.inf)

    def offer(self, patches: Tensor) -> None:
        """Let patches (G, C) compete.

        Which may be near is told by the products |g|² - 2 q·g of centred vectors; their distances are then
        measured from the differences, which lose nothing to cancellation.
        """
        patches = patches - self._centre
        norms = patches.square().sum(dim=1, keepdim=True)
        slack = ROUNDING * (self._norms + norms.max()) - self._norms
        for tile in torch.split(torch.cat([patches, norms], dim=1), _PATCH_TILE):
            vectors, columns = tile[:, :-1], tile.T
            limits = self.found[:, -1] + slack
            for start in range(0, len(self._rows), _QUERY_TILE):
                rows = self._rows[start : start + _QUERY_TILE]
                out = self._products[: len(rows) * len(tile)].view(len(rows), len(tile))
                products = torch.mm(rows, columns, out=out)
                near = (products.amin(dim=1) < limits[start : start + _QUERY_TILE]).nonzero()[:, 0]
                if len(near):
                    self._measure(near + start, products[near], vectors)

    def _measure(self, queries: Tensor, products: Tensor, patches: Tensor) -> None:
        """Measure the patches with the lowest products for these queries, and keep the nearest."""
        kappa = self.found.shape[1]
        nearest = products.topk(min(kappa, len(patches)), dim=1, largest=False).indices
        squared = (self._vectors[queries, None] - patches[nearest]).square().sum(dim=2)
        both = torch.cat([self.found[queries], squared], dim=1)
        self.found[queries] = both.topk(kappa, dim=1, largest=False).values
