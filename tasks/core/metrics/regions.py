"""Weights of anomalous pixels, so that those above a threshold sum to the share of regions that is found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def region_weights(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], int]:
    """One over the area of its region for each anomalous pixel of a mask (H, W), and the number of regions.

    Regions are 8-connected. Divided by the regions of all masks, the weights above a threshold sum to the
    mean over regions of the share that is above it.
    """
    from scipy import ndimage

    labels, regions = ndimage.label(mask, structure=_EIGHT_CONNECTED)
    found = labels[mask]
    return 1 / np.bincount(found, minlength=1)[found], int(regions)
