"""Images made worse on purpose: what cameras, light, mounting and storage do to them, in five severities.

In the manner of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019, arXiv 1903.12261; the amounts are our own. Lengths are shares of an image's shorter
side, so that they mean the same at any resolution.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tasks.core.errors import ConfigurationError
from tasks.core.settings import listed, suggestion

Pixels = NDArray[np.uint8]
SEVERITIES = (1, 2, 3, 4, 5)
_VERSION = 1  # of what is done to an image
_MARGIN = 0.15  # of the longer side, mirrored around an image that is moved: none is moved farther


@dataclass(frozen=True)
class Kind:
    """A kind of corruption.

    Attributes:
        amounts: of the five severities, from the least to the worst.
        meaning: what an amount is.
        apply: makes an image (H, W, 3) worse by an amount; what is left to chance is drawn.
    """

    amounts: tuple[float, ...]
    meaning: str
    apply: Callable[[Pixels, float, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Corruption:
    """A kind of corruption in one severity."""

    name: str
    severity: int

    @property
    def amount(self) -> float:
        """How much."""
        return KINDS[self.name].amounts[self.severity - 1]

    def key(self, content: str) -> str:
        """SHA-256 that stands for an image made worse, given that of the image."""
        text = f"{_VERSION} {content} {self.name} {self.severity} {self.amount!r}"
        return hashlib.sha256(text.encode()).hexdigest()

    def __call__(self, image: Pixels, content: str) -> Pixels:
        """An RGB image (H, W, 3) uint8 made worse; its content's SHA-256 seeds what is left to chance."""
        rng = np.random.default_rng(int(self.key(content), 16))
        return KINDS[self.name].apply(image, self.amount, rng)


def corruptions(names: Sequence[str] = (), severities: Sequence[int] = ()) -> tuple[Corruption, ...]:
    """Corruptions of these names in these severities; all where none are named.

    Raises:
        ConfigurationError: there is no such corruption or severity.
    """
    for name in names:
        if name not in KINDS:
            near = suggestion(name, list(KINDS))
            raise ConfigurationError(f"corruption is {name!r}: {near}it is one of {listed(list(KINDS))}")
    for severity in severities:
        if severity not in SEVERITIES:
            raise ConfigurationError(f"severity is {severity!r}: it is a whole number, from 1 to 5")
    chosen = [name for name in KINDS if name in names or not names]
    return tuple(Corruption(*each) for each in product(chosen, sorted(set(severities)) or SEVERITIES))


def _rounded(values: NDArray[np.floating]) -> Pixels:
    rounded: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return rounded


def _noise(image: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return _rounded(image + np.float32(amount) * rng.standard_normal(image.shape, np.float32))


def _blur(image: Pixels, amount: float, _rng: np.random.Generator) -> Pixels:
    radius = amount * min(image.shape[:2])
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _brightness(image: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return _rounded(image * np.float32(1 + _either(rng) * amount))


def _contrast(image: Pixels, amount: float, _rng: np.random.Generator) -> Pixels:
    mean = image.mean(dtype=np.float64)
    return _rounded(mean + np.float32(1 - amount) * (image - np.float32(mean)))


def _jpeg(image: Pixels, amount: float, _rng: np.random.Generator) -> Pixels:
    sink = io.BytesIO()
    Image.fromarray(image).save(sink, format="JPEG", quality=int(amount))
    with Image.open(sink) as picture:
        return np.asarray(picture.convert("RGB"))


def _shift(image: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    angle, length = rng.uniform(0, 2 * math.pi), amount * min(image.shape[:2])
    return _moved(image, shift=(length * math.cos(angle), length * math.sin(angle)))


def _rotation(image: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return _moved(image, degrees=_either(rng) * amount)


def _scale(image: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return _moved(image, factor=(1 + amount) ** _either(rng))


def _either(rng: np.random.Generator) -> int:
    return int(rng.integers(2)) * 2 - 1


def _moved(
    image: Pixels,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    degrees: float = 0.0,
    factor: float = 1.0,
) -> Pixels:
    """The image turned and scaled about its centre and moved, bilinearly; mirrored where nothing was."""
    height, width = image.shape[:2]
    margin = math.ceil(_MARGIN * max(height, width))
    cosine, sine = (math.cos(math.radians(degrees)) / factor, math.sin(math.radians(degrees)) / factor)
    across, down = width / 2, height / 2
    left, top = across + shift[0], down + shift[1]
    coefficients = (
        *(cosine, sine, across - cosine * left - sine * top + margin),
        *(-sine, cosine, down + sine * left - cosine * top + margin),
    )
    mirrored = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    picture = Image.fromarray(mirrored).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    return np.asarray(picture)


KINDS: Mapping[str, Kind] = {
    "noise": Kind((5, 10, 20, 30, 40), "standard deviation of Gaussian noise, grey levels of 255", _noise),
    "blur": Kind(
        (0.002, 0.004, 0.007, 0.01, 0.015), "standard deviation of a Gaussian, of the shorter side", _blur
    ),
    "brightness": Kind((0.1, 0.2, 0.3, 0.4, 0.5), "share of the light added, or taken away", _brightness),
    "contrast": Kind((0.15, 0.3, 0.45, 0.6, 0.75), "share of the distance to the mean taken away", _contrast),
    "jpeg": Kind((80, 60, 40, 20, 10), "quality of JPEG", _jpeg),
    "shift": Kind((0.01, 0.02, 0.04, 0.07, 0.1), "in any direction, of the shorter side", _shift),
    "rotation": Kind((1, 2, 5, 8, 12), "degrees, to either side", _rotation),
    "scale": Kind((0.02, 0.05, 0.1, 0.15, 0.2), "share by which it is larger, or smaller", _scale),
}
