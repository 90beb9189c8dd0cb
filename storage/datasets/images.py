"""Image and mask files as arrays."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from storage.datasets.arrays import decode_array

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_ARRAY = b"\x93NUMPY"
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L"})
_COLOURED = frozenset({"RGB", "RGBA", "P"})
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


def decode_mask(content: bytes) -> NDArray[np.float32]:
    """Values (H, W) of a mask on the scale of 0 to 255, 16 bits with fractions.

    Of a coloured picture the brightest channel counts; of a palette every colour but black is 255. An array
    in a .npy file is a mask as well; its values are taken as they are.

    Raises:
        UnreadableImageError: as for `decode_image`.
    """
    if content.startswith(_ARRAY):
        return _array_mask(content)
    picture = _open(content)
    if picture.mode in _SIXTEEN_BIT:
        return np.asarray(np.asarray(picture, np.float32) / 257, np.float32)
    if picture.mode not in _COLOURED:
        return np.asarray(_converted(picture, "L"), np.float32)
    channels = np.asarray(_converted(picture, "RGB"), np.float32)
    brightest: NDArray[np.float32] = channels.max(axis=2)
    if picture.mode == "P" and (channels != channels[:, :, :1]).any():
        return np.asarray(255 * (brightest > 0), np.float32)
    return brightest


def _array_mask(content: bytes) -> NDArray[np.float32]:
    try:
        values = decode_array(content)
    except ValueError as error:
        raise UnreadableImageError(str(error)) from error
    if values.ndim != 2:
        raise UnreadableImageError(f"an array of shape {values.shape} is no mask (H, W)")
    return values.astype(np.float32)


def encode_png(values: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) or (H, W) uint8 as a PNG file."""
    sink = io.BytesIO()
    Image.fromarray(values).save(sink, format="PNG")
    return sink.getvalue()


def encode_jpeg(values: NDArray[np.uint8]) -> bytes:
    """An image (H, W, 3) uint8 as a JPEG file for the screen, thin coloured lines kept."""
    sink = io.BytesIO()
    Image.fromarray(values).save(sink, format="JPEG", quality=85, subsampling=0)
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
