"""What methods have in common: the setting of their levels, patch vectors, and a seeded sample of these."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Training
from tasks.core.networks.traits import Level, taken_level, taken_levels


def check_levels(levels: tuple[Any, ...]) -> tuple[Level, ...]:
    """The same; ConfigurationError also unless there is one, and they are each once, finest first."""
    taken = taken_levels(levels)
    if not taken or taken != tuple(map(taken_level, levels)):
        raise ConfigurationError(
            f"levels is {levels!r}: name strides or layers, each once, finest first, as (8, 16)"
        )
    return taken


def patch_vectors(level: NDArray[Any]) -> tuple[NDArray[np.float32], tuple[int, int]]:
    """Vectors (H·W, C) float32 of a level (H, W, C), and its grid (H, W)."""
    height, width, channels = level.shape
    return np.asarray(level, np.float32).reshape(-1, channels), (height, width)


def sample_patches(training: Training, limit: int, seed: int) -> NDArray[np.float32]:
    """Patches (S, C) float32 of the first level: all, or `limit` of them, every one equally likely.

    They are in the order of images and positions. Memory: the sample and one image.
    """
    sample: list[NDArray[np.float32]] = []
    chosen: NDArray[np.int64] | None = None
    for number, pyramid in enumerate(training.pyramids()):
        vectors, _ = patch_vectors(pyramid[0])
        if chosen is None:
            total = len(training) * len(vectors)
            rng = np.random.default_rng(seed)
            chosen = np.sort(rng.choice(total, min(limit, total), replace=False))
        start = number * len(vectors)
        first, last = np.searchsorted(chosen, [start, start + len(vectors)])
        sample.append(vectors[chosen[first:last] - start])
    return np.concatenate(sample)
