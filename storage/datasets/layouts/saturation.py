"""What a category says of its defects: how much of one has to be found for all of it to count as found.

Bergmann et al., "Beyond Dents and Scratches", IJCV 130, 2022, section 4: the file defects_config.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictBool, StrictInt, TypeAdapter, ValidationError

from storage.datasets.tree import Tree

CONFIG = "defects_config.json"


@dataclass(frozen=True)
class Saturation:
    """A kind of defect, and the area of which no more has to be found.

    Attributes:
        pixel_value: of its masks' pixels.
        saturation_threshold: that area: pixels, or a share of the defect.
        relative_saturation: whether it is a share.
    """

    pixel_value: Annotated[StrictInt, Field(ge=1, le=255)]
    saturation_threshold: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
    relative_saturation: StrictBool

    def share(self, area: int) -> float:
        """The share of a defect of this area, in pixels, that has to be found: above 0, at most 1."""
        pixels = self.saturation_threshold * (area if self.relative_saturation else 1)
        return min(pixels, area) / area


@dataclass(frozen=True)
class Saturations:
    """All that a category states, and the path of the file that states it."""

    path: str
    kinds: tuple[Saturation, ...]

    def share(self, mask: NDArray[np.float32]) -> float | None:
        """The share of a defect that has to be found, given its mask (H, W) on the scale of 0 to 255.

        None where none is stated: the mask has several values, or one that no kind has.
        """
        values = np.unique(mask[mask > 0])
        if not len(values):
            return 1.0
        found = [kind for kind in self.kinds if values.tolist() == [kind.pixel_value]]
        return found[0].share(int(np.count_nonzero(mask))) if found else None


def read_saturations(tree: Tree, category: str) -> Saturations | None:
    """What a category states; None if nothing.

    Raises:
        ValueError: its file cannot be read, or is not as expected; in one line.
    """
    path = f"{category}/{CONFIG}"
    if CONFIG not in tree.listing(category).files:
        return None
    reason = tree.reason(path)
    if reason is not None:
        raise ValueError(reason)
    try:
        kinds = _KINDS.validate_json(tree.read(path))
    except OSError as error:
        raise ValueError(f"unreadable: {error.strerror or error}") from error
    except ValidationError as error:
        raise ValueError(f"not a list of defects: {_first(error)}") from error
    values = [kind.pixel_value for kind in kinds]
    repeated = {value for value in values if values.count(value) > 1}
    if repeated:
        raise ValueError(f"not a list of defects: two have the pixel_value {min(repeated)}")
    return Saturations(path, tuple(kinds)) if kinds else None


_KINDS = TypeAdapter(list[Saturation])


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
