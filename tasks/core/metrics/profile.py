"""Counts of pixels over common bins of scores, image by image: all that a bootstrap over images needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 1024
_SAMPLE = 2**18  # scores of a class that place the bins


@dataclass(frozen=True)
class Profile:
    """The pixels of N images in B bins of scores, the bin of the highest scores first.

    The bins lie between quantiles: of the normal scores, ever denser towards the highest, and of the
    anomalous ones. Where there are no more than `BINS` distinct scores, each has a bin of its own.

    Attributes:
        negatives: (N, B) uint32, normal pixels.
        positives: (N, B) uint32, anomalous pixels.
        overlap: (N, B) float64, the anomalous pixels' shares of their regions.
        regions: (N,) uint32, anomalous regions.
    """

    negatives: NDArray[np.uint32]
    positives: NDArray[np.uint32]
    overlap: NDArray[np.float64]
    regions: NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        negatives: Sequence[NDArray[np.floating]],
        positives: Sequence[NDArray[np.floating]],
        weights: Sequence[NDArray[np.float64]],
        regions: Sequence[int],
    ) -> Profile:
        """Count the scores of each image's normal and anomalous pixels, the latter with their weights.

        The arrays of `negatives` are sorted in place: no copy of them is made.
        """
        for scores in negatives:
            scores.sort()
        edges = _edges(_sample(negatives), _sample([np.sort(scores) for scores in positives]))
        bins = len(edges) + 1
        below = [np.searchsorted(scores, edges) for scores in negatives]
        places = [np.searchsorted(edges, scores, side="right") for scores in positives]
        return cls(
            _highest_first(
                [
                    np.diff(counts, prepend=0, append=len(scores))
                    for counts, scores in zip(below, negatives, strict=True)
                ]
            ).astype(np.uint32),
            _highest_first([np.bincount(place, minlength=bins) for place in places]).astype(np.uint32),
            _highest_first(
                [
                    np.bincount(place, share, minlength=bins)
                    for place, share in zip(places, weights, strict=True)
                ]
            ),
            np.array(regions, dtype=np.uint32),
        )


def _sample(scores: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """About `_SAMPLE` of the scores in ascending order, evenly by rank from arrays that are sorted."""
    step = max(1, sum(map(len, scores)) // _SAMPLE)
    return np.sort(np.concatenate([part[::-step] for part in scores]))


def _edges(negatives: NDArray[np.floating], positives: NDArray[np.floating]) -> NDArray[np.floating]:
    distinct = np.unique(np.concatenate([negatives, positives]))
    if len(distinct) <= BINS:
        return distinct
    shares = np.arange(1, BINS // 2 + 1) / (BINS // 2)
    return np.unique(np.concatenate([_highest(negatives, shares**3), _highest(positives, shares)]))


def _highest(scores: NDArray[np.floating], shares: NDArray[np.float64]) -> NDArray[np.floating]:
    """What divides these highest shares of the scores (ascending) from the rest, halfway between two scores.

    An edge on a score would have it first or last in its bin, and shift the metrics to one side.
    """
    first = len(scores) - np.ceil(shares * len(scores)).astype(int)
    first = first[first > 0]
    halfway: NDArray[np.floating] = (scores[first - 1] + scores[first]) / 2
    return halfway


def _highest_first(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.ascontiguousarray(np.stack(rows)[:, ::-1])
