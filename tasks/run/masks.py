"""The true mask of a test image, and as the metrics use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.datasets.dataset import read_mask
from storage.datasets.manifest import ImageFile
from tasks.core.networks.preprocess import align_mask
from tasks.job import Part


def true_mask(part: Part, image: ImageFile) -> NDArray[np.bool_] | None:
    """The mask (H, W) of an image with a usable one; None of an image that is normal all over.

    Raises:
        UnreadableImageError: the file is gone or changed.
    """
    return read_mask(part.job.dataset, image) if image.masks else None


def aligned(part: Part, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """A mask at metric resolution (R, R), like the anomaly maps; empty for None."""
    settings = part.job.configuration
    resolution = settings.metric_resolution
    if mask is None:
        return np.zeros((resolution, resolution), dtype=bool)
    return align_mask(mask, settings.preprocessing, resolution)
