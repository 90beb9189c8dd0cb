"""Images as blocks of 2 x 2 fine positions, in the leading coordinates of a concatenated pyramid.

An orthogonal rotation keeps products. With h the first coordinates of a vector, along the principal axes of
the images that a frame is made of, and s the norm of the rest,

    p·g <= h(p)·h(g) + s(p) s(g)

The coordinates of an upsampled level are the upsampled coordinates of its cells, so no level is upsampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching.grid import cells, dot, grid_of, near_products, shares, squared_norm
from tasks.core.matching.kernels import FARTHEST, ROUNDING
from tasks.core.matching.lanes import LANES, SIDE, add_blend

SHORT_STEP, LONG_STEP = 8, 16  # coordinates after which a bound is looked at: of one level, of several
_CENTRE = 32  # coordinates of a block's centre
_NOWHERE = 3e38  # beyond all that FARTHEST is compared with
_ONE = np.float32(1)


class _Effort(NamedTuple):
    """How many patches tell the axes, how many there are, and how many of the finest level they mix."""

    patches: int
    axes: int
    narrow: int


_FOR_ONE, _FOR_MANY = _Effort(256, 96, 32), _Effort(768, 256, 64)  # queries


class Blocks(NamedTuple):
    """An image as B blocks of 4 patches, centred; B' is B to the next multiple of 16.

    Attributes:
        table: (S, B, step + 2, 4), S times: minus half the squared norm, so many coordinates, and the norm of
            all that come later. A patch outside the grid has a norm that keeps it from being near.
        norms: squared norms (B, 4).
        centres: (B', M + 1) the mean of the patches' first M coordinates in the coarse levels alone; last,
            its squared norm less the squared radius. Far away for what is no block.
        radii: (B',) of the ball around the centre that holds those coordinates.
        largest: no squared norm of a vector is above it.
    """

    table: NDArray[np.float32]
    norms: NDArray[np.float32]
    centres: NDArray[np.float32]
    radii: NDArray[np.float32]
    largest: float


class Searched(NamedTuple):
    """An image as it is searched: its blocks, and its levels as they are measured.

    A level (Hi, Wi, Ci) is of float32, or of float16 as the bits uint16; channels are filled up with 0 to
    the next multiple of 16. None is centred, so that a distance is the same number in any frame.
    `added_bytes` are held besides the levels that it was made of.
    """

    blocks: Blocks
    levels: tuple[NDArray[Any], ...]
    added_bytes: int


class Frame:
    """Grids, means and axes of images, in which images of their shapes become blocks.

    The bounds hold in any frame; in one of images that are like them they are tight. That of a query alone
    is made for it; that of several images has more axes, which find what other queries have in common.
    """

    def __init__(
        self, images: Sequence[Sequence[Tensor]], upsampling: Literal["bilinear", "nearest"]
    ) -> None:
        """Find means and axes of images of levels (Hi, Wi, Ci), finest first."""
        self.is_pyramid = len(images[0]) > 1
        images = [self._completed(levels) for levels in images]
        levels = images[0]
        means = [[level.float().mean(dim=(0, 1)) for level in same] for same in zip(*images, strict=True)]
        self._means = [torch.stack(of_level).mean(dim=0) for of_level in means]
        self.shift = sum(float(mean.square().sum()) for mean in self._means)
        self._height, self._width, _ = levels[0].shape
        self.grid = grid_of([level.shape for level in levels[1:]], self._height, self._width, upsampling)
        self._step = LONG_STEP if self.is_pyramid else SHORT_STEP
        effort = _FOR_MANY if len(images) > 1 else _FOR_ONE
        fine, *others = (_filled(level.shape[2]) for level in levels)
        samples = self._samples(images, effort.patches)
        finest, coarse = torch.split(samples, [fine, sum(others)], dim=1)
        self._narrow = principal_axes(finest, min(effort.narrow, fine))
        vectors = torch.cat([finest @ self._narrow, coarse], dim=1)
        most = vectors.shape[1] * 3 // 4 // LANES * LANES  # the last ones tell little
        axes = principal_axes(vectors, min(effort.axes, most))
        self._axes = torch.split(axes, [self._narrow.shape[1], *others])

    def _samples(self, images: Sequence[Sequence[Tensor]], patches: int) -> Tensor:
        """About so many centred patches (N, C), as many of each image."""
        positions, count = self._height * self._width, len(images)
        stride = max(1, positions * count // patches)
        places = [np.arange(number * stride // count, positions, stride) for number in range(count)]
        found = [
            self._patches(self._centred(levels), some) for levels, some in zip(images, places, strict=True)
        ]
        return torch.cat(found)

    def searched(self, levels: Sequence[Tensor]) -> Searched:
        """An image of the frame's shapes, of levels (Hi, Wi, Ci) float16 or float32."""
        levels = self._completed(levels)
        blocks, measured = self._blocks(self._centred(levels)), tuple(map(_measured, levels))
        given = {level.data_ptr() for level in levels}
        added = [array for array in measured if array.ctypes.data not in given]
        return Searched(blocks, measured, sum(array.nbytes for array in (*blocks[:-1], *added)))

    def vectors(self, levels: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """The patches of `Searched.levels` (H * W, C), the levels one after the other."""
        every = np.arange(self._height * self._width)
        return self._patches(list(map(_single, levels)), every).numpy()

    def _completed(self, levels: Sequence[Tensor]) -> Sequence[Tensor]:
        """The levels, with a coarse one of nothing beside one alone."""
        return levels if self.is_pyramid else [*levels, torch.zeros(1, 1, 1)]

    def _patches(self, levels: Sequence[Tensor], places: NDArray[np.int64]) -> Tensor:
        """The patches (N, C) at N places of the finest grid, the levels one after the other."""
        finest, *coarse = levels
        first = finest.shape[2]
        out = torch.zeros(len(places), sum(level.shape[2] for level in levels))
        out[:, :first] = finest.flatten(0, 1)[places]
        for depth, level in enumerate(coarse):
            _upsample(out.numpy(), first, level.numpy(), depth, self.grid, places)
            first += level.shape[2]
        return out

    def _centred(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """The levels less the frame's means, channels filled up with 0: distances stay, rounding shrinks."""
        found = []
        for level, mean in zip(levels, self._means, strict=True):
            room = _room(level.shape, torch.float32)
            torch.sub(level, mean, out=room[:, :, : level.shape[2]])
            found.append(room)
        return found

    def _blocks(self, levels: Sequence[Tensor]) -> Blocks:
        """The blocks of centred levels."""
        fine = levels[0].flatten(0, 1)
        flat = [fine @ self._narrow, *(level.flatten(0, 1) for level in levels[1:])]
        head, *coarse_heads = (
            (vectors @ axes).reshape(*level.shape[:2], -1).numpy()
            for vectors, axes, level in zip(flat, self._axes, levels, strict=True)
        )
        finest, *coarse = (level.numpy() for level in levels)
        near = tuple(near_products(level) for level in coarse)
        norms = _norms(finest)
        largest = float(norms.max()) + sum(float(products[:, 0].max()) for products in near)
        made = self._nothing(head.shape[2])._replace(largest=largest)
        margin = np.float32(ROUNDING * largest)
        _fold(*made[:4], norms, head, tuple(coarse_heads), near, self.grid, margin)
        return made

    def _nothing(self, size: int) -> Blocks:
        """Blocks of so many coordinates to be filled."""
        count = -(-self._height // 2) * -(-self._width // 2)
        padded = _filled(count)
        middle = min(_CENTRE, size)
        centres = np.full((padded, middle + 1), _NOWHERE, np.float32)
        centres[count:, :middle] = 0
        return Blocks(
            np.empty((size // self._step, count, self._step + 2, SIDE), np.float32),
            np.empty((count, SIDE), np.float32),
            centres,
            np.zeros(padded, np.float32),
            0.0,
        )


def _filled(count: int) -> int:
    """The next multiple of 16."""
    return -(-count // LANES) * LANES


def _room(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Zeros of a level's shape, channels to the next multiple of 16."""
    return torch.zeros(*shape[:2], _filled(shape[2]), dtype=dtype)


def _measured(level: Tensor) -> NDArray[Any]:
    """A level as in `Searched`, the same memory where its channels allow."""
    filled = level.contiguous()
    if level.shape[2] % LANES:
        filled = _room(level.shape, level.dtype)
        filled[:, :, : level.shape[2]] = level
    values: NDArray[Any] = filled.numpy()
    return values.view(np.uint16) if values.dtype == np.float16 else values


def _single(level: NDArray[Any]) -> Tensor:
    """A level of `Searched` in float32."""
    return torch.from_numpy(level.view(np.float16) if level.dtype == np.uint16 else level).float()


def principal_axes(vectors: Tensor, count: int) -> Tensor:
    """The first `count` principal axes (C, count) of vectors (N, C), orthonormal."""
    samples = vectors.double()
    if vectors.shape[1] <= len(samples):
        axes = torch.linalg.eigh(samples.T @ samples).eigenvectors.flip(1)[:, :count]
    else:
        mixing = torch.linalg.eigh(samples @ samples.T).eigenvectors.flip(1)[:, :count]
        padding = mixing.new_zeros(len(samples), count - mixing.shape[1])
        axes = torch.linalg.qr(samples.T @ torch.cat([mixing, padding], dim=1)).Q
    found: Tensor = axes.float().contiguous()
    return found


@numba.njit(parallel=True, fastmath=True, cache=True)
def _upsample(out: Any, first: int, level: Any, depth: int, grid: Any, places: Any) -> None:
    """Add an upsampled level (h, w, c) at N places to the columns of `out` (N, C) from `first` on."""
    width = grid.column_shares.shape[1]
    across, channels = level.shape[1], level.shape[2]
    for number in numba.prange(len(places)):
        i, j = places[number] // width, places[number] % width
        a, b, c, d = cells(grid, depth, i, j, across)
        four = (a * channels, b * channels, c * channels, d * channels)
        add_blend(out, number * out.shape[1] + first, level, four, shares(grid, depth, i, j), channels)


@numba.njit(parallel=True, fastmath=True, cache=True)
def _norms(level: Any) -> Any:
    """Squared norms (H, W) of a level's vectors."""
    norms = np.empty(level.shape[:2], np.float32)
    for i in numba.prange(level.shape[0]):
        for j in range(level.shape[1]):
            norms[i, j] = dot(level[i, j], level[i, j])
    return norms


@numba.njit(parallel=True, fastmath=True, cache=True)
def _fold(
    table: Any,
    norms: Any,
    centres: Any,
    radii: Any,
    fine_norms: Any,
    heads: Any,
    coarse_heads: Any,
    near: Any,
    grid: Any,
    margin: Any,
) -> None:
    """Write `Blocks`, from the coordinates (Hi, Wi, M) of each level's vectors and the norms of theirs."""
    height, width, size = heads.shape
    across = (width + 1) // 2
    for i in numba.prange((height + 1) // 2):
        coarse = np.empty((SIDE, size), np.float32)
        for j in range(across):
            number = i * across + j
            inside = 0
            for lane in range(SIDE):
                r, c = 2 * i + lane // 2, 2 * j + lane % 2
                if r >= height or c >= width:
                    norms[number, lane] = 0
                    table[:, number, :, lane] = 0
                    table[0, number, 0, lane] = -FARTHEST
                    continue
                vector = coarse[inside]
                vector[:] = 0
                norm = fine_norms[r, c]
                for depth in range(len(coarse_heads)):
                    level = coarse_heads[depth]
                    four, parts = cells(grid, depth, r, c, level.shape[1]), shares(grid, depth, r, c)
                    places = (four[0] * size, four[1] * size, four[2] * size, four[3] * size)
                    add_blend(coarse, inside * size, level, places, parts, size)
                    norm += squared_norm(near[depth], four, parts)
                norms[number, lane] = norm
                _write(table, number, lane, vector, heads[r, c], norm, margin)
                inside += 1
            radii[number] = _surround(centres[number], coarse[:inside])


@numba.njit(fastmath=True, cache=True)
def _write(table: Any, number: int, lane: int, coarse: Any, fine: Any, norm: Any, margin: Any) -> None:
    """Write the rows of one patch, whose coordinates are the sum of two."""
    rest, step = norm, table.shape[2] - 2
    for turn in range(len(table)):
        rows = table[turn, number]
        rows[0, lane] = np.float32(-0.5) * norm
        for x in range(step):
            value = coarse[turn * step + x] + fine[turn * step + x]
            rows[1 + x, lane] = value
            rest -= value * value
        rows[1 + step, lane] = np.sqrt(max(rest, np.float32(0)) + margin)


@numba.njit(fastmath=True, cache=True)
def _surround(centre: Any, vectors: Any) -> Any:
    """Write a block's row of `Blocks.centres`, of its vectors (N, M or more); return its radius."""
    share, squared = _ONE / np.float32(len(vectors)), np.float32(0)
    middle = len(centre) - 1
    for x in range(middle):
        total = np.float32(0)
        for lane in range(len(vectors)):
            total += vectors[lane, x]
        centre[x] = total * share
        squared += centre[x] * centre[x]
    farthest = np.float32(0)
    for lane in range(len(vectors)):
        away = np.float32(0)
        for x in range(middle):
            away += (vectors[lane, x] - centre[x]) * (vectors[lane, x] - centre[x])
        farthest = max(farthest, away)
    centre[middle] = squared - farthest
    return np.sqrt(farthest)
