from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from storage.datasets.images import UnreadableImageError, decode_image, decode_mask, encode_png

SIXTEEN = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
HIGH_BYTES = np.array([[0, 0, 1], [128, 254, 255]], np.uint8)
RAMP = np.array([[0, 100, 200], [50, 150, 250]], np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=np.uint8)
FLOAT = np.array([[0.0, 0.5, 1.0]], np.float32)
ROTATED = 6  # the orientation tag of a picture to turn by 90 degrees clockwise


def encoded(values: NDArray[Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    picture = values if isinstance(values, Image.Image) else Image.fromarray(values)
    sink = io.BytesIO()
    picture.save(sink, format=kind, **options)
    return sink.getvalue()


def palette() -> Image.Image:
    """Red, blue and white, by index."""
    picture = Image.frombytes("P", (3, 1), bytes([0, 1, 2]))
    picture.putpalette([255, 0, 0, 0, 0, 255, 255, 255, 255])
    return picture


def oriented() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = ROTATED
    return tags


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    image, mode = decode_image(encoded(RAMP, kind))
    assert mode == "L"
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.stack([RAMP] * 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_rgb_is_kept(kind: str) -> None:
    image, mode = decode_image(encoded(NOISE, kind))
    assert mode == "RGB"
    np.testing.assert_array_equal(image, NOISE)


def test_jpeg_is_nearly_kept() -> None:
    smooth = np.linspace(0, 255, 40 * 60).reshape(40, 60).astype(np.uint8)
    image, _ = decode_image(encoded(smooth, "JPEG", quality=95))
    assert image.shape == (40, 60, 3)
    assert np.abs(image[:, :, 0].astype(int) - smooth).max() <= 8


def test_transparency_is_dropped() -> None:
    image, mode = decode_image(encoded(Image.new("RGBA", (2, 1), (7, 8, 9, 0))))
    assert mode == "RGBA"
    assert image.tolist() == [[[7, 8, 9], [7, 8, 9]]]


def test_grey_with_transparency_is_grey() -> None:
    image, _ = decode_image(encoded(Image.new("LA", (1, 1), (7, 0))))
    assert image.tolist() == [[[7, 7, 7]]]


def test_palette_is_looked_up() -> None:
    image, mode = decode_image(encoded(palette()))
    assert mode == "P"
    assert image.tolist() == [[[255, 0, 0], [0, 0, 255], [255, 255, 255]]]


def test_palette_with_transparency_is_looked_up() -> None:
    image, _ = decode_image(encoded(palette(), transparency=bytes([0, 128, 255])))
    assert image.tolist() == [[[255, 0, 0], [0, 0, 255], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_is_black_and_white(kind: str) -> None:
    image, mode = decode_image(encoded(np.array([[True, False]]), kind))
    assert mode == "1"
    assert image.tolist() == [[[255] * 3, [0] * 3]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_high_byte(kind: str) -> None:
    image, _ = decode_image(encoded(SIXTEEN, kind))
    np.testing.assert_array_equal(image, np.stack([HIGH_BYTES] * 3, axis=2))


def test_big_endian_sixteen_bit_tiff_keeps_its_high_byte() -> None:
    picture = Image.frombytes("I;16B", (3, 2), SIXTEEN.astype(">u2").tobytes())
    image, mode = decode_image(encoded(picture, "TIFF"))
    assert mode == "I;16B"
    np.testing.assert_array_equal(image[:, :, 1], HIGH_BYTES)


def test_integers_beyond_sixteen_bits_are_refused_with_the_remedy() -> None:
    with pytest.raises(UnreadableImageError, match="save it with 8 or 16 bits"):
        decode_image(encoded(np.array([[0, 70000]], np.int32), "TIFF"))


def test_a_floating_point_image_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnreadableImageError, match="save it with 8 or 16 bits"):
        decode_image(encoded(FLOAT, "TIFF"))


def test_a_floating_point_mask_is_refused_with_the_remedy() -> None:
    with pytest.raises(UnreadableImageError, match="save it with 8 or 16 bits"):
        decode_mask(encoded(FLOAT, "TIFF"))


def test_a_mask_of_a_kind_that_has_no_grey_is_refused() -> None:
    with pytest.raises(UnreadableImageError):
        decode_mask(encoded(Image.new("LAB", (2, 2)), "TIFF"))


@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 0), ("TIFF", 0), ("JPEG", 12)])
def test_the_orientation_tag_is_applied(kind: str, tolerance: int) -> None:
    halves = np.zeros((16, 32), np.uint8)
    halves[:, 16:] = 255  # the right half becomes the lower half
    image, _ = decode_image(encoded(halves, kind, exif=oriented()))
    assert image.shape == (32, 16, 3)
    assert image[:16].max() <= tolerance
    assert image[16:].min() >= 255 - tolerance


def test_a_mask_follows_its_orientation_tag() -> None:
    mask = decode_mask(encoded(np.array([[0, 255]], np.uint8), exif=oriented()))
    assert mask.tolist() == [[0], [255]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_unreadable(kind: str, kept: float) -> None:
    content = encoded(NOISE, kind)
    for decode in (decode_image, decode_mask):
        with pytest.raises(UnreadableImageError):
            decode(content[: int(len(content) * kept)])


def test_an_empty_file_is_unreadable() -> None:
    with pytest.raises(UnreadableImageError, match="empty"):
        decode_image(b"")


def test_a_text_file_is_not_an_image() -> None:
    with pytest.raises(UnreadableImageError, match="not an image"):
        decode_image(b"bottle,000,good\n" * 20)


def test_the_values_of_an_eight_bit_mask_stay() -> None:
    mask = decode_mask(encoded(np.array([[0, 1, 128, 255]], np.uint8)))
    assert mask.dtype == np.float32
    assert mask.tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_the_values_of_a_sixteen_bit_mask_are_scaled(kind: str) -> None:
    mask = decode_mask(encoded(np.array([[0, 1, 257 * 127, 257 * 127 + 1, 65535]], np.uint16), kind))
    assert (mask > 0).tolist() == [[False, True, True, True, True]]
    assert (mask > 127).tolist() == [[False, False, False, True, True]]
    assert mask.max() == 255


def test_a_one_bit_mask_is_black_and_white() -> None:
    assert decode_mask(encoded(np.array([[True, False]]))).tolist() == [[255, 0]]


def test_of_a_coloured_mask_the_brightest_channel_counts() -> None:
    values = np.array([[[0, 0, 0], [127, 0, 5], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert decode_mask(encoded(values)).tolist() == [[0, 127, 255, 9]]


def test_of_a_palette_every_colour_but_black_counts_and_greys_are_shades() -> None:
    colours = Image.fromarray(np.array([[0, 1, 2, 3]], np.uint8))
    colours.putpalette([0, 0, 0, 64, 0, 0, 0, 0, 1, 255, 255, 255])
    assert decode_mask(encoded(colours)).tolist() == [[0, 255, 255, 255]]
    greys = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    greys.putpalette([255, 255, 255, 3, 3, 3, 0, 0, 0])
    assert decode_mask(encoded(greys)).tolist() == [[255, 3, 0]]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_an_encoded_png_decodes_to_the_same_values(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    expected = values if values.ndim == 3 else np.stack([values] * 3, axis=2)
    np.testing.assert_array_equal(decode_image(encode_png(values))[0], expected)
