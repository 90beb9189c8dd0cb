"""From which value on a pixel of a mask is anomalous: a threshold on the scale of 0 to 255.

Masks are published as 0 and 255, as 0 and 1, as small numbers for kinds of defects, in 8 or 16 bits, smooth
at their edges or not. The highest values of a category's masks tell: where one is above half scale, pixels
above half scale are anomalous; where none is, all but 0 are.
"""

from __future__ import annotations

from collections.abc import Iterable

from storage.datasets.manifest import ImageFile

HALF_SCALE = 127
_SMALL = 32


def found_threshold(peak: float) -> int:
    """The threshold that the highest value of a category's masks tells."""
    return 0 if 0 < peak <= HALF_SCALE else HALF_SCALE


def scale(images: Iterable[ImageFile]) -> str:
    """What the masks of a category hold, and which of it is anomalous; empty without masks."""
    read = [image for image in images if image.mask_peak is not None]
    if not read:
        return ""
    peak = max(image.mask_peak or 0 for image in read)
    return f"0 to {peak:.3g}, anomalous above {read[0].mask_threshold}"


def doubt(images: Iterable[ImageFile]) -> str | None:
    """Why the scale of a category's masks is in doubt, and the remedy; None where it is not."""
    read = [image for image in images if image.mask_peak is not None]
    peak = max((image.mask_peak or 0 for image in read), default=0)
    if peak > HALF_SCALE or peak <= _SMALL or read[0].mask_threshold != 0:
        return None
    return (
        f"no mask has a value above {peak:.3g} of 255, and all above 0 are taken for anomalous: "
        "if these are shades, name a mask_threshold with the layout"
    )
