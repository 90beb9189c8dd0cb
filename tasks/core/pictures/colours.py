"""The colours of anomaly maps, in the report and in pictures."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def heat_colours() -> NDArray[np.uint8]:
    """Colours (256, 3) from the lowest to the highest value: inferno, which is readable without hue."""
    from matplotlib import colormaps  # not before it is needed

    return np.asarray(colormaps["inferno"](np.arange(256), bytes=True)[:, :3])
