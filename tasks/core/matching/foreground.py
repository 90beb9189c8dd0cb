"""The patches of an image that show its object, by the first principal component of their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_THRESHOLD = 10.0  # along the component
_BORDER = 0.2  # of the height and width on each side of the centre
_COVERED = 0.35  # of the centre that the object covers, else the component points the other way
_THREE = np.ones(3, np.bool_)


def foreground(level: NDArray[Any]) -> NDArray[np.bool_]:
    """The patches (H, W) of a level (H, W, C) that are of the object.

    Damm, Laszkiewicz, Lederer, Fischer, "AnomalyDINO", arXiv 2405.14529, section 3.2: those above a threshold
    along the component, dilated and closed. As in the authors' code patches are neighbours in reading order,
    and the centre is found on the grid. The threshold fits DINOv2's features.
    """
    height, width, channels = level.shape
    vectors = np.asarray(level, np.float64).reshape(-1, channels)
    centred = vectors - vectors.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.abs(axis).argmax()])  # so that its sign is defined
    along = centred @ axis
    found = along > _THRESHOLD
    rows, columns = (slice(int(size * _BORDER), int(size * (1 - _BORDER))) for size in (height, width))
    centre = found.reshape(height, width)[rows, columns]
    if centre.sum() <= _COVERED * centre.size:
        found = -along > _THRESHOLD
    closed = ndimage.binary_dilation(ndimage.binary_dilation(found, _THREE), _THREE)
    return np.asarray(ndimage.binary_erosion(closed, _THREE, border_value=1)).reshape(height, width)
