"""Large inputs in tiles: each passes through the backbone on its own; their cells form one grid a level."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.core.networks.geometry import Preprocessing, Size
from tasks.core.networks.traits import Grids, Level

if TYPE_CHECKING:
    from tasks.core.networks.backbone import Backbone


class Span(NamedTuple):
    """A tile along one axis, in pixels: where it starts, and from where to where its cells are taken."""

    start: int
    first: int
    end: int


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
    """The tiles along an axis of `length` pixels; the last ends with it. All are multiples of `multiple`.

    Of the cells that neighbours share each has those nearer to its centre.
    """
    starts = [*range(0, length - tile, tile - overlap), length - tile]
    between = [(left + right + tile) // 2 // multiple * multiple for left, right in pairwise(starts)]
    edges = [0, *between, length]
    return [Span(start, *ends) for start, ends in zip(starts, pairwise(edges), strict=True)]


def tile_count(size: Size, grids: Grids, tile: int | None, overlap: int) -> int:
    """How many tiles pass through the backbone for an input of this height and width; one without tiles."""
    return 1 if tile is None else len(list(_places(size, grids, tile, overlap)))


def features(
    backbone: Backbone,
    inputs: Sequence[NDArray[np.float32]],
    how: Preprocessing,
    grids: Grids,
    *,
    batch_size: int,
    dtype: np.dtype[Any],
) -> tuple[NDArray[Any], dict[Level, NDArray[Any]]]:
    """Embeddings (B, D) and levels (B, Hi, Wi, Ci) of `dtype` of inputs (3, H, W) of one size, at `grids`.

    Without tiles they pass through the backbone together.
    """
    if how.tile is None:
        embeddings, levels = backbone(torch.from_numpy(np.stack(inputs)))
        kind = torch.from_numpy(np.empty(0, dtype)).dtype  # torch converts to float16 several times as fast
        return embeddings.to(kind).numpy(), {
            level: values.to(kind).numpy() for level, values in levels.items()
        }
    found = [
        pass_tiles(backbone, image, grids, how.tile, how.overlap, batch_size=batch_size, dtype=dtype)
        for image in inputs
    ]
    stacked = {
        level: found[0][1][level][None] if len(found) == 1 else np.stack([each[level] for _, each in found])
        for level in grids
    }
    return np.stack([embedding for embedding, _ in found]).astype(dtype), stacked


def pass_tiles(
    backbone: Backbone,
    image: NDArray[np.float32],
    grids: Grids,
    tile: int,
    overlap: int,
    *,
    batch_size: int,
    dtype: np.dtype[Any],
) -> tuple[NDArray[np.float32], dict[Level, NDArray[Any]]]:
    """The embedding (D,) and the levels (H, W, C) of `dtype` of an input (3, H', W') at `grids`.

    The embedding is the mean of the tiles'. In memory are the input, the levels and `batch_size` tiles.
    """
    levels: dict[Level, NDArray[Any]] = {}
    total, count = np.zeros(0), 0
    every = _places(image.shape[1:], grids, tile, overlap)
    while places := list(islice(every, batch_size)):
        tiles = np.stack(
            [
                image[:, down.start : down.start + tile, across.start : across.start + tile]
                for down, across in places
            ]
        )
        embeddings, found = backbone(torch.from_numpy(tiles))
        total = (total if count else 0) + embeddings.numpy().sum(axis=0, dtype=np.float64)
        count += len(tiles)
        _place(levels, grids, places, {level: values.numpy() for level, values in found.items()}, dtype)
    return (total / count).astype(np.float32), levels


def _places(size: tuple[int, ...], grids: Grids, tile: int, overlap: int) -> Iterator[tuple[Span, Span]]:
    multiple = max(grid.stride for grid in grids.values())
    down, across = (spans(length, tile, overlap, multiple) for length in size)
    yield from product(down, across)


def _place(
    levels: dict[Level, NDArray[Any]],
    grids: Grids,
    places: Sequence[tuple[Span, Span]],
    found: Mapping[Level, NDArray[np.float32]],
    dtype: np.dtype[Any],
) -> None:
    """Write the cells of some tiles into the levels, which are made with the first."""
    for level, (rows, columns, stride) in grids.items():
        if level not in levels:
            levels[level] = np.empty((rows, columns, found[level].shape[3]), dtype)
        for (down, across), cells in zip(places, found[level], strict=True):
            target = tuple(slice(span.first // stride, span.end // stride) for span in (down, across))
            source = tuple(
                slice((span.first - span.start) // stride, (span.end - span.start) // stride)
                for span in (down, across)
            )
            levels[level][target] = cells[source]
