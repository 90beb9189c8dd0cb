"""Image and mask files as arrays."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L"})
_WITHOUT_SCALE = {"F": "floating-point", "I": "32-bit"}


class UnreadableImageError(ValueError):
    """Bytes that are not a whole image of a supported kind."""


def decode_image(content: bytes) -> tuple[NDArray[np.uint8], str]:
    """RGB image (H, W, 3) uint8, and the mode of the file.

    Orientation tags are applied, transparency is dropped, 16-bit values keep their high byte.

    Raises:
        UnreadableImageError: truncated, empty, not an image, or of an unsupported mode.
    """
    picture = _open(content)
    if picture.mode in _SIXTEEN_BIT:
        values = (np.asarray(picture) >> 8).astype(np.uint8)
        return np.repeat(values[:, :, None], 3, axis=2), picture.mode
    return np.asarray(_converted(picture, "RGB")), picture.mode


def decode_mask(content: bytes) -> NDArray[np.bool_]:
    """Mask (H, W), True above half of the file's scale.

    Raises:
        UnreadableImageError: as for `decode_image`.
    """
    picture = _open(content)
    if picture.mode in _SIXTEEN_BIT:
        return np.asarray(picture) > 32767
    return np.asarray(_converted(picture, "L")) > 127


def encode_png(values: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) or (H, W) uint8 as a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(values).save(sink, format="PNG")
    return sink.getvalue()


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except Exception as error:  # decoders raise what they like on damaged bytes
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        raise UnreadableImageError(reason) from error


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    if picture.mode in _WITHOUT_SCALE:
        kind = _WITHOUT_SCALE[picture.mode]
        raise UnreadableImageError(f"{kind} pixels have no fixed scale: save it with 8 or 16 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    try:
        return picture.convert(mode)
    except ValueError as error:
        raise UnreadableImageError(f"{error}: save it as RGB or grey") from error
