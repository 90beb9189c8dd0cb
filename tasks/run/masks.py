"""The true mask of a test image, and as the metrics use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.datasets.dataset import Dataset, read_mask
from storage.datasets.manifest import ImageFile
from tasks.core.config import Configuration
from tasks.core.networks.preprocess import align_mask


def true_mask(dataset: Dataset, image: ImageFile) -> NDArray[np.bool_] | None:
    """The mask (H, W) of an image with a usable one; None of an image that is normal all over.

    Raises:
        UnreadableImageError: the file is gone or changed.
    """
    return read_mask(dataset, image) if image.masks else None


def aligned(settings: Configuration, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """A mask at metric resolution (R, R), like the anomaly maps; empty for None."""
    resolution = settings.metric_resolution
    if mask is None:
        return np.zeros((resolution, resolution), dtype=bool)
    return align_mask(mask, settings.preprocessing, resolution)
