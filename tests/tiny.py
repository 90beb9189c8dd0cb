"""Tiny datasets in the MVTec AD layout, anomaly maps, and SPADE with few neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from tasks.core.methods.spade import Spade


def spade(**changes: Any) -> Spade:
    """SPADE with few neighbours, matched the quickest way, and what a test changes; flows take its label."""
    few: dict[str, Any] = {"k_image": 3, "k_gallery": 2, "upsampling": "nearest"}
    return Spade(**few | changes)


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


def draw_maps(
    seed: int, images: int, side: int, spread: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Smooth noise, brighter where the masks of two thirds of the images have two regions each."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, side, side), dtype=bool)
    for mask in (mask for number, mask in enumerate(masks) if number % 3):
        for height in (side // 5, side // 12 + 1):
            top, left = rng.integers(0, side * 3 // 4, 2)
            mask[top : top + height, left : left + side // 6] = True
    blur = (0, side / 40, side / 40)
    noise = gaussian_filter(rng.normal(size=masks.shape), blur) * side / 20
    lift = gaussian_filter(masks.astype(float), blur) * spread * rng.uniform(0.3, 2, (images, 1, 1))
    return (noise + lift + rng.normal(0, 0.3, (images, 1, 1))).astype(np.float32), masks


def write_campus(root: Path, *, train: int = 5, lengths: tuple[int, ...] = (11, 6), side: int = 40) -> None:
    """Videos as of ShanghaiTech Campus; in the first test video a bright square walks from frame 4 on."""
    rng = np.random.default_rng(0)
    shape = (side, side + 9)
    for number in range(train):
        frame = rng.normal(110, 20, (*shape, 3)).astype(np.uint8)
        write_image(root / f"training/frames/01_001/{number:03}.png", frame)
    for video, length in enumerate(lengths, start=1):
        mask = np.zeros((length, *shape), np.uint8)
        if video == 1:
            for number in range(4, length):
                mask[number, 12:20, 2 * number : 2 * number + 9] = 1
        for number in range(length):
            frame = rng.normal(110, 20, (*shape, 3)).astype(np.uint8)
            frame[mask[number] > 0] = 255
            write_image(root / f"testing/frames/{video:02}_0001/{number:03}.png", frame)
        for folder, values in (("test_frame_mask", mask.any(axis=(1, 2))), ("test_pixel_mask", mask)):
            (root / "testing" / folder).mkdir(exist_ok=True)
            np.save(root / f"testing/{folder}/{video:02}_0001.npy", values.astype(np.uint8))
