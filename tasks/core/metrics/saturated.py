"""The defects of images, apart, and how much of each has to be found: what sPRO needs beside maps and masks.

Bergmann et al., "Beyond Dents and Scratches", IJCV 130, 2022.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Defects:
    """The defects of an image with P anomalous pixels; they may overlap, and each has a pixel.

    Attributes:
        masks: (P,) bool of each defect, over the anomalous pixels in the order of the joined mask's.
        shares: of each defect's area, above 0 and at most 1, that has to be found for all of it to count.
    """

    masks: Sequence[NDArray[np.bool_]] = ()
    shares: Sequence[float] = ()

    @classmethod
    def of(
        cls, joined: NDArray[np.bool_], masks: Sequence[NDArray[np.bool_]], shares: Sequence[float]
    ) -> Defects:
        """Those of these masks (H, W) that have a pixel; `joined` (H, W) is where one of them has."""
        kept = [(mask[joined], share) for mask, share in zip(masks, shares, strict=True) if mask.any()]
        return cls([mask for mask, _ in kept], [share for _, share in kept])

    def weights(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weights (P,) of the anomalous pixels by their scores (P,): of each defect they add up to 1."""
        areas = [share * int(mask.sum()) for mask, share in zip(self.masks, self.shares, strict=True)]
        return saturated_weights(scores, self.masks, areas)


@dataclass(frozen=True)
class Saturated:
    """The defects of images, and of which images each measure is.

    Attributes:
        defects: by the number of the image, of those where they are known.
        images: numbers of images, by measure: one has a defect, and one a normal pixel.
    """

    defects: Mapping[int, Defects]
    images: Mapping[str, Sequence[int]]


def saturated_weights(
    scores: NDArray[np.floating], defects: Sequence[NDArray[np.bool_]], areas: Sequence[float]
) -> NDArray[np.float64]:
    """Weights by which the overlap is saturated: a defect is found whole once `area` of it is found.

    `scores` are of pixels in any shape, `defects` masks of that shape, each of one defect with its saturation
    area in pixels, at most its own: of its pixels those that score highest share a weight of 1, and more of
    it counts no more. Masks may overlap; a defect without a pixel weighs nothing. With the weights of all
    images divided by the number of defects, `Ranking.pro` is the sPRO.

    Raises:
        ValueError: an area is not above 0.
    """
    weights = np.zeros(scores.shape)
    for mask, area in zip(defects, areas, strict=True):
        if not area > 0:
            raise ValueError(f"a saturation area of {area} pixels: it is above 0")
        size = int(mask.sum())
        area = min(area, size)
        order = np.argsort(-scores[mask], kind="stable")
        shares = np.zeros(size)
        shares[order] = np.clip(area - np.arange(size), 0, 1) / area
        weights[mask] += shares
    return weights


def lowest_needed(
    negatives: Sequence[NDArray[np.floating]], positives: NDArray[np.floating], limit: float
) -> np.floating:
    """The highest score of a positive at which the rate of negatives reaches a limit, or else the lowest.

    No lower score has a part in the overlap up to that rate. `negatives` are arrays in ascending order.
    """
    thresholds = np.unique(positives)[::-1]
    needed = limit * sum(map(len, negatives))

    def reached(place: int) -> int:
        threshold = thresholds[place]
        return sum(len(scores) - int(np.searchsorted(scores, threshold)) for scores in negatives)

    first = bisect_left(range(len(thresholds)), needed, key=reached)
    lowest: np.floating = thresholds[min(first, len(thresholds) - 1)]
    return lowest
