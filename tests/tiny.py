"""Tiny datasets in the MVTec AD layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_image(path: Path, values: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def write_category(
    root: Path,
    name: str,
    *,
    train: int = 4,
    normal: int = 2,
    anomalous: int = 3,
    side: int = 40,
    seed: int = 0,
) -> None:
    """Stripes with noise; a defect is a bright square, its mask exact. Images are not square."""
    rng = np.random.default_rng([seed, train, side])

    def stripes() -> NDArray[np.uint8]:
        wave = 90 + 50 * np.sin(np.arange(side + 9) / 3 + rng.uniform(0, 6))
        noise = rng.normal(0, 8, (side, side + 9, 3))
        return np.clip(wave[None, :, None] + noise, 0, 255).astype(np.uint8)

    for number in range(train):
        write_image(root / name / "train" / "good" / f"{number:03}.png", stripes())
    for number in range(normal):
        write_image(root / name / "test" / "good" / f"{number:03}.png", stripes())
    for number in range(anomalous):
        values, mask = stripes(), np.zeros((side, side + 9), np.uint8)
        row, column = rng.integers(8, side - 16, 2)
        values[row : row + 7, column : column + 6] = 255
        mask[row : row + 7, column : column + 6] = 255
        write_image(root / name / "test" / "square" / f"{number:03}.png", values)
        write_image(root / name / "ground_truth" / "square" / f"{number:03}_mask.png", mask)
