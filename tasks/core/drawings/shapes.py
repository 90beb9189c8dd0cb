"""Fields the drawings are made of: coordinates, noise, outlines, relief and surface defects."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SIZE = 256

Field = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Frame = tuple[Field, Field]


def pose(rng: np.random.Generator, *, turn: float, shift: float, zoom: float) -> Frame:
    """Coordinates of every pixel in the part's own frame, turned (degrees), shifted (pixels) and zoomed."""
    line = np.arange(SIZE, dtype=np.float32) - (SIZE - 1) / 2
    across, down = np.meshgrid(line - rng.uniform(-shift, shift), line - rng.uniform(-shift, shift))
    angle = np.deg2rad(rng.uniform(-turn, turn))
    scale = 1 + rng.uniform(-zoom, zoom)
    cosine, sine = np.float32(np.cos(angle) / scale), np.float32(np.sin(angle) / scale)
    return across * cosine + down * sine, down * cosine - across * sine


def clouds(rng: np.random.Generator, cell: float) -> Field:
    """Smooth noise of unit variance that varies over about `cell` pixels."""
    nodes = np.arange(-2 * cell, SIZE + 2 * cell, cell)
    weights = np.exp(-0.5 * ((np.arange(SIZE)[:, None] - nodes) / (0.7 * cell)) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    values = rng.standard_normal((nodes.size, nodes.size))
    # einsum, not @: matrices this small lose more to the threads of BLAS than they gain
    return np.asarray(np.einsum("il,jl->ij", np.einsum("ik,kl->il", weights, values), weights), np.float32)


def grain(rng: np.random.Generator, sigma: float | Sequence[float]) -> Field:
    """Fine noise of unit variance, blurred by `sigma` pixels along each axis."""
    noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE), dtype=np.float32), sigma, mode="wrap")
    return np.asarray(noise / noise.std(), np.float32)


def soften(image: Field, sigma: float) -> Field:
    """Gaussian blur of the picture plane."""
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0)[: image.ndim]), np.float32)


def coverage(distance: Field, softness: float = 1.0) -> Field:
    """Share of each pixel inside an outline, from the signed distance to it (negative inside)."""
    return np.asarray(np.clip(0.5 - distance / softness, 0, 1), np.float32)


def box(frame: Frame, half_width: float, half_height: float, corner: float) -> Field:
    """Signed distance to a rectangle with rounded corners."""
    beyond, below = np.abs(frame[0]) - half_width + corner, np.abs(frame[1]) - half_height + corner
    outside = np.hypot(np.maximum(beyond, 0), np.maximum(below, 0))
    return np.asarray(outside + np.minimum(np.maximum(beyond, below), 0) - corner, np.float32)


def relief(height: Field, light: float, sigma: float) -> Field:
    """Shading of a bevelled height field: positive on slopes that face the light's direction (radians)."""
    down, across = np.gradient(soften(height, sigma))
    return np.asarray(-(across * np.cos(light) + down * np.sin(light)) * sigma, np.float32)


def shadow(shape: Field, light: float, length: float, sigma: float) -> Field:
    """Soft cast shadow of a shape, thrown away from the light's direction (radians)."""
    offset = np.round([-length * np.sin(light), -length * np.cos(light)]).astype(int)
    return soften(np.roll(shape, offset, (0, 1)), sigma)


def blend(below: Field, above: Field, opacity: Field) -> Field:
    """Colour image `above` laid over `below`."""
    return below + (above - below) * opacity[..., None]


def paint(shade: Field, colour: Sequence[float]) -> Field:
    """Colour image of one colour under the given shading."""
    return np.asarray(shade[..., None] * np.asarray(colour, np.float32), np.float32)


def around(frame: Frame, spot: Sequence[float] | Field) -> Frame:
    """The same frame with its origin moved to a spot."""
    return frame[0] - np.float32(spot[0]), frame[1] - np.float32(spot[1])


def blob(rng: np.random.Generator, frame: Frame, radius: float, ragged: float) -> Field:
    """Signed distance (about) to an irregular round patch at the origin."""
    across, down = frame
    angle = np.arctan2(down, across)
    edge = np.full_like(angle, radius)
    for waves in (2, 3, 5, 8):
        swing, start = rng.normal(0, ragged / np.sqrt(waves)), rng.uniform(0, 2 * np.pi)
        edge += radius * swing * np.cos(waves * angle + start)
    return np.asarray(np.hypot(across, down) - edge, np.float32)


def stained(
    image: Field, rng: np.random.Generator, frame: Frame, radius: float, colour: Sequence[float]
) -> Field:
    """The image with a dried stain at the origin: tinted inside, stronger along the rim."""
    edge = blob(rng, frame, radius, ragged=0.15)
    opacity = rng.uniform(0.2, 0.85) * (0.75 * coverage(edge, 5) + 0.25 * np.exp(-((edge + 2) ** 2) / 6))
    return blend(image, (0.3 + 0.7 * image) * np.asarray(colour, np.float32), opacity)


def scratched(
    image: Field,
    rng: np.random.Generator,
    frame: Frame,
    length: float,
    width: float,
    bare: Field,
    opacity: float,
) -> Field:
    """The image with a thin bent line through the origin, tapered to both ends, that shows `bare`."""
    across, down = frame
    angle = rng.uniform(0, np.pi)
    along = across * np.cos(angle) + down * np.sin(angle)
    bend, tremor = rng.uniform(-0.5, 0.5) / length, rng.uniform(0.15, 0.35)
    aside = down * np.cos(angle) - across * np.sin(angle) - bend * along**2 - 0.5 * np.sin(tremor * along)
    reach = width / 2 * np.sqrt(np.clip(1 - (2 * along / length) ** 2, 0, 1))
    return blend(image, bare, opacity * coverage(np.abs(aside) - reach) * (reach > 0))
