"""The true mask of a test image, and as the metrics use it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.datasets.dataset import Dataset, read_mask, read_masks
from storage.datasets.manifest import ImageFile
from tasks.core.config import Configuration
from tasks.core.metrics.saturated import Defects
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


def true_defects(
    settings: Configuration, dataset: Dataset, image: ImageFile
) -> tuple[NDArray[np.bool_], Defects | None]:
    """The mask (R, R) of an image at metric resolution, and its defects apart within the evaluated area.

    They are None where a saturation is not stated: then the joined mask is all that is read.

    Raises:
        UnreadableImageError: a file is gone or changed.
    """
    if not image.masks:
        return aligned(settings, None), Defects()
    shares = [share for share in image.mask_saturations if share is not None]
    if len(shares) < len(image.masks):
        return aligned(settings, read_mask(dataset, image)), None
    masks = [aligned(settings, mask) for mask in read_masks(dataset, image)]
    joined: NDArray[np.bool_] = np.any(masks, axis=0)
    return joined, Defects.of(joined, masks, shares)
