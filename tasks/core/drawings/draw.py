"""Seeded drawings of small parts and surfaces with exact defect masks: the embedded demo dataset."""

import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.core.drawings.scenes import SCENES
from tasks.core.drawings.shapes import SIZE, Field, Mask, soften

DRAWINGS_VERSION: int = 1

_GOOD = {("train", "good"): 30, ("test", "good"): 10}


def _category(**defects: int) -> Mapping[tuple[str, str], int]:
    return MappingProxyType(_GOOD | {("test", kind): number for kind, number in defects.items()})


CATEGORIES: Mapping[str, Mapping[tuple[str, str], int]] = MappingProxyType(
    {
        "fabric": _category(missing=6, scratch=6, stain=6),
        "gear": _category(chip=5, missing=5, scratch=5, stain=5),
        "connector": _category(bent=5, chip=5, missing=5, scratch=5),
    }
)

_VISIBLE = 5 / 255
_EXPOSURE = (0.97, 1.03)
_SHARPNESS = (0.55, 0.75)
_TINT = 0.006
_GRADIENT = 0.07
_VIGNETTE = 0.08
_NOISE = 0.009


def draw(
    category: str, split: str, kind: str, number: int, *, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Image (256, 256, 3) uint8 and mask (256, 256) bool, all False for kind "good"."""
    _, image, mask = draw_pair(category, split, kind, number, seed=seed)
    return image, mask


def draw_pair(
    category: str, split: str, kind: str, number: int, *, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """The same drawing without and with its defect, and the mask of the pixels in which they differ."""
    _check(category, split, kind)
    key = [seed, zlib.crc32(f"{category}/{split}/{kind}".encode()), number]

    def scene(shown: str) -> tuple[Field, Mask]:
        return SCENES[category](np.random.default_rng([*key, 0]), shown, np.random.default_rng([*key, 1]))

    clean, mask = scene("good")
    photo = np.random.default_rng([*key, 2])
    light, sharpness, noise = _light(photo), photo.uniform(*_SHARPNESS), photo.standard_normal(clean.shape)
    clean = soften(clean, sharpness) * light
    defective = clean
    if kind != "good":
        drawn, moved = scene(kind)
        drawn = soften(drawn, sharpness) * light
        changed = np.abs(drawn - clean).max(axis=2) > _VISIBLE
        mask = moved | np.asarray(ndimage.median_filter(changed, 3), np.bool_)
        defective = np.where(mask[..., None], drawn, clean)
    return _expose(clean, noise), _expose(defective, noise), mask


def _check(category: str, split: str, kind: str) -> None:
    if category not in CATEGORIES:
        raise ValueError(f"unknown category {category!r}, expected one of {sorted(CATEGORIES)}")
    if (split, kind) not in CATEGORIES[category]:
        valid = [f"{known_split}/{known_kind}" for known_split, known_kind in CATEGORIES[category]]
        raise ValueError(f"unknown kind {f'{split}/{kind}'!r} of {category}, expected one of {valid}")


def _light(rng: np.random.Generator) -> Field:
    """Per-pixel gain of exposure, colour tint, falloff to one side and vignetting."""
    across, down = np.meshgrid(*2 * [np.linspace(-1, 1, SIZE, dtype=np.float32)])
    angle = rng.uniform(0, 2 * np.pi)
    falloff = rng.uniform(0, _GRADIENT) * (across * np.cos(angle) + down * np.sin(angle))
    gain = rng.uniform(*_EXPOSURE) * (1 + falloff - _VIGNETTE * (across**2 + down**2) / 2)
    return np.asarray(gain[..., None] * rng.normal(1, _TINT, 3), np.float32)


def _expose(radiance: Field, noise: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Sensor reading: shot noise grows with the root of the light."""
    bright = np.clip(radiance, 0, 1)
    read = 255 * (bright + _NOISE * np.sqrt(0.3 + bright) * noise)
    return np.asarray(np.clip(read, 0, 255).round(), np.uint8)
