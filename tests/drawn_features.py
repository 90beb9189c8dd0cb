"""Features drawn at random, as methods are given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.interface import Query, Training
from tasks.core.networks.traits import Grid, Level

Sizes = Mapping[Any, tuple[int, int, int]]


def square_grids(cells: Mapping[int, int]) -> dict[Level, Grid]:
    """Grids of so many cells a side, by stride."""
    return {stride: Grid(side, side, stride) for stride, side in cells.items()}


def draw_image(
    rng: np.random.Generator, sizes: Sizes, width: int = 5
) -> tuple[NDArray[np.float32], list[NDArray[Any]]]:
    """An embedding (width,) and levels of these sizes by stride, float16."""
    levels: list[NDArray[Any]] = [rng.normal(2, 3, size).astype(np.float16) for size in sizes.values()]
    return rng.normal(2, 3, width).astype(np.float32), levels


def draw_query(rng: np.random.Generator, sizes: Sizes, width: int = 5, key: str = "query") -> Query:
    """An image as it is asked about."""
    return Query(*draw_image(rng, sizes, width), key)


def draw_training(
    rng: np.random.Generator, count: int, sizes: Sizes, width: int = 5, keys: Sequence[str] = ()
) -> Training:
    """Training images with levels of these sizes by stride."""
    images = [draw_image(rng, sizes, width) for _ in range(count)]
    embeddings = np.stack([embedding for embedding, _ in images])
    return Training(embeddings, lambda position: images[position][1], tuple(sizes), keys)
