"""Distances from each patch of a test image to its nearest patches in the gallery (paper, section 3.2)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.blocks import Frame, Searched
from tasks.core.matching.kept import KeptPyramid
from tasks.core.matching.kernels import ROUNDING
from tasks.core.matching.nested import NestedSearch, is_nested
from tasks.core.matching.preparation import UNCHANGED, Preparation
from tasks.core.matching.pruned import PrunedSearch, is_worth_pruning
from tasks.core.matching.pyramid import concatenate
from tasks.core.matching.window import WindowedSearch, fewest_candidates

_QUERY_TILE, _PATCH_TILE = 784, 1568  # their products stay in cache
_FIRST, _FIRST_BYTES = 8, 2**28  # images of a gallery that a frame is made of besides the query, at most
_PAIRS = 16384  # whose differences are held at once

Pyramid = Sequence[NDArray[Any]]


class _Search(Protocol):
    """Nearest patches of a query among the images offered: (H, W, kappa), ascending."""

    def offer(self, levels: Sequence[Tensor]) -> None: ...

    def squared(self) -> NDArray[np.float32]: ...


class Part(NamedTuple):
    """Levels that are matched as one vector, by their positions in the pyramid."""

    levels: tuple[int, ...]
    upsampling: Literal["bilinear", "nearest"]
    preparation: Preparation
    window: int

    def prepared(self, pyramid: Pyramid, device: str) -> list[Tensor]:
        """The levels that are searched, of a pyramid as it is stored: as they are, or in float32."""
        levels = [_tensor(pyramid[number], device) for number in self.levels]
        if self.preparation == UNCHANGED:
            return levels
        return self.preparation.apply([level.float() for level in levels], self.upsampling)

    def offered(self, pyramid: Pyramid, device: str) -> list[Tensor]:
        """The same for a search that knows no frame, which may read one level as it is stored."""
        if self.window and len(self.levels) == 1 and self.preparation.average == 1:
            level = _tensor(pyramid[self.levels[0]], device)
            if level.dtype == torch.float16:
                return [level]
        return [level.float() for level in self.prepared(pyramid, device)]

    def searched(self, pyramid: Pyramid, frame: Frame) -> Searched:
        """The same in a frame, made once of a pyramid that is kept."""

        def make() -> Searched:
            return frame.searched(self.prepared(pyramid, "cpu"))

        return pyramid.searched(frame, make) if isinstance(pyramid, KeptPyramid) else make()


Frames = MutableMapping[Part, Frame]


@dataclass(frozen=True)
class Matching:
    """One way to match a pyramid with a gallery.

    Attributes:
        levels: positions of the levels that are matched in the pyramid, finest first.
        fusion: match them all as one vector, or each on its own.
        upsampling: how coarse levels reach the finest grid before they are concatenated.
        kappa: number of nearest patches, at most the number of patches of the coarsest matched grid.
        images: how many images the gallery is, the first ones; all, if there are fewer.
        preparation: what is done to the levels first.
        window: how many cells of the matched grid away a patch may lie that competes; 0 if all of an image
            do.
    """

    levels: tuple[int, ...]
    fusion: Literal["concatenate", "average"] = "concatenate"
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    kappa: int = 1
    images: int = sys.maxsize
    preparation: Preparation = UNCHANGED
    window: int = 0

    @property
    def parts(self) -> list[Part]:
        """What is searched; a level on its own is the same part however it would be upsampled."""
        if self.fusion == "average" or len(self.levels) == 1:
            levels = [(level,) for level in self.levels]
            return [Part(each, "bilinear", self.preparation, self.window) for each in levels]
        return [Part(self.levels, self.upsampling, self.preparation, self.window)]


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
        fusion: as in `Matching`, with all levels of the pyramid.
        upsampling: as in `Matching`.
        kappa: as in `Matching`.
        device: where the products are computed.
    """
    matching = Matching(tuple(range(len(query))), fusion, upsampling, kappa)
    return match_each(query, gallery, [matching], device=device)[0]


def match_each(
    query: Pyramid,
    gallery: Iterable[Pyramid],
    matchings: Sequence[Matching],
    *,
    device: str = "cpu",
    frames: Frames | None = None,
) -> list[list[NDArray[np.float32]]]:
    """What `match` finds for each of several matchings with one gallery, no distance computed twice.

    Levels that are matched together are searched once, with the largest kappa, whose first are those of a
    smaller one. The gallery is offered in its order, so the nearest patches after k images are those of a
    gallery of k: they are copied then, and the search goes on.

    `frames` are those that earlier queries of the same shapes made, and are added to: what was made in them
    of a `KeptPyramid`, and stays, is not made again. They are made of a query and a few images of its
    gallery, in memory together where they are small; without `frames`, of the query.
    """
    shapes = [np.shape(level) for level in query]
    kappas: dict[Part, int] = {}
    counts: dict[Part, set[int]] = {}
    for matching in matchings:
        height, width = shapes[matching.parts[-1].levels[0]][:2]
        if matching.kappa > height * width:
            raise ValueError(
                f"kappa is {matching.kappa}: the coarsest grid matched has {height * width} patches"
            )
        fewest = fewest_candidates((height, width), matching.window)
        if matching.window and matching.kappa > fewest:
            raise ValueError(f"kappa is {matching.kappa}: in the window of a corner are {fewest} patches")
        for part in matching.parts:
            kappas[part] = max(matching.kappa, kappas.get(part, 0))
            counts.setdefault(part, set()).add(matching.images)
    images = _of_shapes(gallery, shapes)
    first = _first(images) if frames is not None else []
    framed, frames = [query, *first], {} if frames is None else frames
    searches = {part: _search(part, framed, kappa, device, frames) for part, kappa in kappas.items()}
    found: dict[tuple[Part, int], NDArray[np.float32]] = {}
    offered = 0
    for offered, pyramid in enumerate(chain(first, images), start=1):
        for part, search in searches.items():
            if offered <= max(counts[part]):
                if isinstance(search, PrunedSearch):
                    search.offer(part.searched(pyramid, frames[part]))
                else:
                    search.offer(part.offered(pyramid, device))
            if offered in counts[part]:
                found[part, offered] = search.squared().copy()
    if not offered:
        raise ValueError("the gallery is empty")
    return [
        [
            np.ascontiguousarray(
                found.get((part, matching.images), searches[part].squared())[:, :, : matching.kappa]
            )
            for part in matching.parts
        ]
        for matching in matchings
    ]


def _of_shapes(gallery: Iterable[Pyramid], shapes: Sequence[tuple[int, ...]]) -> Iterator[Pyramid]:
    """The images of a gallery, which have levels of these shapes."""
    for number, pyramid in enumerate(gallery, start=1):
        if [np.shape(level) for level in pyramid] != shapes:
            raise ValueError(
                f"image {number} of the gallery has levels of other shapes than the query's {shapes}"
            )
        yield pyramid


def _first(images: Iterator[Pyramid]) -> list[Pyramid]:
    """The first images of a gallery, as many as tell the axes and are small together; one, however large."""
    first: list[Pyramid] = []
    size = 0
    for image in images:
        first.append(image)
        size += sum(level.nbytes for level in image)
        if len(first) == _FIRST or size >= _FIRST_BYTES:
            break
    return first


def _search(
    part: Part, images: Sequence[Pyramid], kappa: int, device: str, frames: Frames
) -> PrunedSearch | _Search:
    """The fastest exact search for the vectors of a part in the first image; the compiled ones need a CPU.

    A frame is of all the images.
    """
    levels = part.prepared(images[0], device)
    single = [level.float() for level in levels]
    if part.window:
        unit = part.preparation.unit_levels or part.preparation.unit_patches
        return WindowedSearch(single, part.upsampling, kappa, part.window, unit=unit)
    shapes = [level.shape for level in levels]
    if levels[0].device.type == "cpu":
        if part.upsampling == "nearest" and is_nested(shapes):
            return NestedSearch(single, kappa)
        if is_worth_pruning(shapes):
            if part not in frames:
                frames[part] = Frame([part.prepared(image, device) for image in images], part.upsampling)
            return PrunedSearch(frames[part].searched(levels), frames[part], kappa)
    return DenseSearch(single, part.upsampling, kappa)


def _tensor(level: NDArray[Any], device: str) -> Tensor:
    return torch.from_numpy(np.asarray(level)).to(device)


def patch_scores(
    squared: NDArray[np.float32], distance: Literal["squared", "euclidean", "cosine"]
) -> NDArray[np.float32]:
    """Pixel scores (H, W): distances averaged over the kappa nearest (equation 3), given squared ones.

    Those (H, W, kappa) are of vectors of length 1 where the distance is 1 - cosine.
    """
    values = np.sqrt(squared) if distance == "euclidean" else squared / 2 if distance == "cosine" else squared
    return np.asarray(values.mean(axis=2))


class DenseSearch:
    """All products of a query with an image, tile by tile, on any device."""

    def __init__(
        self, levels: Sequence[Tensor], upsampling: Literal["bilinear", "nearest"], kappa: int
    ) -> None:
        """Prepare a query of levels (Hi, Wi, Ci), finest first."""
        self._upsampling = upsampling
        self._shape = (*levels[0].shape[:2], kappa)
        vectors = self._fused(levels)
        self._centre = vectors.mean(dim=0)
        self._vectors = vectors - self._centre
        self._rows = torch.cat([-2 * self._vectors, vectors.new_ones(len(vectors), 1)], dim=1)
        self._norms = self._vectors.square().sum(dim=1)
        self._products = vectors.new_empty(_QUERY_TILE * _PATCH_TILE)
        self._best = vectors.new_full((len(vectors), kappa), torch.inf)

    def offer(self, levels: Sequence[Tensor]) -> None:
        """Let the patches of an image compete.

        Which may be near is told by the products |g|² - 2 q·g of centred vectors; their distances are then
        measured from the differences, which lose nothing to cancellation.
        """
        patches = self._fused(levels) - self._centre
        norms = patches.square().sum(dim=1, keepdim=True)
        slack = ROUNDING * (self._norms + norms.max())
        for tile in torch.split(torch.cat([patches, norms], dim=1), _PATCH_TILE):
            vectors, columns = tile[:, :-1], tile.T
            limits = self._best[:, -1] + slack - self._norms
            for start in range(0, len(self._rows), _QUERY_TILE):
                rows = self._rows[start : start + _QUERY_TILE]
                out = self._products[: len(rows) * len(tile)].view(len(rows), len(tile))
                products = torch.mm(rows, columns, out=out)
                near = (products.amin(dim=1) < limits[start : start + _QUERY_TILE]).nonzero()[:, 0]
                if len(near):
                    self._measure(near + start, products[near], vectors, slack[near + start])

    def _measure(self, queries: Tensor, products: Tensor, patches: Tensor, slack: Tensor) -> None:
        """Measure the patches whose products rounding may have kept from being lowest; keep the nearest."""
        kappa = self._best.shape[1]
        lowest = products.topk(min(kappa, len(patches)), dim=1, largest=False).values[:, -1]
        candidates = (products <= (lowest + 2 * slack)[:, None]).nonzero()
        squared = torch.full_like(products, torch.inf)
        for pairs in torch.split(candidates, _PAIRS):
            rows, columns = pairs.T
            differences = self._vectors[queries[rows]] - patches[columns]
            squared[rows, columns] = differences.square().sum(dim=1)
        both = torch.cat([self._best[queries], squared], dim=1)
        self._best[queries] = both.topk(kappa, dim=1, largest=False).values

    def squared(self) -> NDArray[np.float32]:
        """Squared distances (H, W, kappa), ascending."""
        return self._best.reshape(self._shape).cpu().numpy()

    def _fused(self, levels: Sequence[Tensor]) -> Tensor:
        return concatenate(levels, self._upsampling).flatten(0, 1)
