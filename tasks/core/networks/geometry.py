"""Where in an image the backbone's input lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from tasks.core.errors import ConfigurationError

Size = tuple[int, int]  # height and width, pixels
Aspect = Literal["stretch", "crop", "pad"]
_LEAST, _MOST = 8, 32768  # pixels a side


class Frame(NamedTuple):
    """The part of an image that the backbone sees: the image is resized, and `size` is kept from `start` on.

    All are rows and columns in pixels. A `start` below 0, or an end beyond the resized image, is padding.
    """

    resized: Size
    start: Size
    size: Size


@dataclass(frozen=True)
class Preprocessing:
    """Geometry and scale of a backbone's input.

    An image is resized, its centre is kept, and its channels, scaled to 0..1, are normalised.

    Attributes:
        resize: side or (height, width) in pixels that an image is resized to; where its aspect is kept, of
            its shorter side.
        crop: side or (height, width) of the centre that is kept; none for all of it, brought to `multiple`.
        mean: of the channels.
        std: of the channels.
        aspect: whether an image is stretched, or keeps its aspect and is cropped or padded to `multiple`.
        multiple: of pixels, that each side of the input is, where the aspect is kept and nothing is cropped.
        tile: side of the tiles that pass through the backbone one by one; none for the whole input at once.
        overlap: of neighbouring tiles, pixels.
    """

    resize: int | Size
    crop: int | Size | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    aspect: Aspect = "stretch"
    multiple: int = 1
    tile: int | None = None
    overlap: int = 0

    def frame(self, height: int, width: int) -> Frame:
        """Where the input lies in an image of this height and width."""
        resized = as_pair(self.resize)
        if self.aspect != "stretch":
            scale = resized[0] / min(height, width)
            resized = (max(1, round(height * scale)), max(1, round(width * scale)))
        size = resized if self.crop is None else as_pair(self.crop)
        if self.crop is None and self.aspect != "stretch":
            beyond = self.multiple - 1 if self.aspect == "pad" else 0
            rows, columns = (max(1, (side + beyond) // self.multiple) * self.multiple for side in resized)
            size = (rows, columns)
        return Frame(resized, ((resized[0] - size[0]) // 2, (resized[1] - size[1]) // 2), size)

    @property
    def one_size(self) -> bool:
        """Whether inputs are of one size, whatever images are."""
        return self.aspect == "stretch" or self.crop is not None

    def description(self) -> dict[str, Any]:
        """All that determines an image's input; what is as the paper has it, in the fewest words."""
        described: dict[str, Any] = {
            "resize": self.resize,
            "crop": self.resize if self.crop is None and self.one_size else self.crop,
            "mean": self.mean,
            "std": self.std,
        }
        if self.aspect != "stretch":
            described |= {"aspect": self.aspect, "multiple": self.multiple}
        return described | ({"tile": self.tile, "overlap": self.overlap} if self.tile else {})


def as_pair(size: int | Size) -> Size:
    """Height and width of a size."""
    return (size, size) if isinstance(size, int) else size


def taken_size(value: Any) -> Any:
    """A size as settings hold it, a text: a side, or HEIGHTxWIDTH where these differ."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        height, _, width = value.partition("x")
        return height if height == width else value
    return value


def parsed_size(name: str, value: str) -> int | Size:
    """The side or (height, width) in the text of a setting.

    Raises:
        ConfigurationError: it says neither.
    """
    parts = value.split("x")
    if len(parts) > 2 or not all(part.isdecimal() and _LEAST <= int(part) <= _MOST for part in parts):
        raise ConfigurationError(
            f"{name} is {value!r}: it is a side or HEIGHTxWIDTH in pixels, as 448 or 448x616, each from "
            f"{_LEAST} to {_MOST}"
        )
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
