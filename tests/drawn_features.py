"""Features drawn at random, as methods are given them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.interface import Training

Sizes = tuple[tuple[int, int, int], ...]


def draw_image(
    rng: np.random.Generator, sizes: Sizes, width: int = 5
) -> tuple[NDArray[np.float32], list[NDArray[Any]]]:
    """An embedding (width,) and levels of these sizes, float16."""
    levels: list[NDArray[Any]] = [rng.normal(2, 3, size).astype(np.float16) for size in sizes]
    return rng.normal(2, 3, width).astype(np.float32), levels


def draw_training(rng: np.random.Generator, count: int, sizes: Sizes, width: int = 5) -> Training:
    """Training images with levels of these sizes."""
    images = [draw_image(rng, sizes, width) for _ in range(count)]
    return Training(np.stack([embedding for embedding, _ in images]), lambda position: images[position][1])
