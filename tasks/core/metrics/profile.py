"""Counts of pixels over common bins of scores, image by image: all that a bootstrap over images needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.pimo import Tail

BINS = 1024
_OF_TAIL = 64  # bins of the scores that few pixels of normal images reach
_TAIL_RATES = (1e-6, 1e-3)  # of these pixels, from the first edge to the last
_SAMPLE = 2**18  # scores of a class that place the bins


@dataclass(frozen=True)
class Profile:
    """The pixels of N images in B bins of scores, the bin of the highest scores first.

    The bins lie between quantiles: of the normal scores, ever denser towards the highest, of the anomalous
    ones, and, evenly by log rate, of the highest scores of normal images. Where there are no more than `BINS`
    distinct scores, each has a bin of its own.

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
        tail: Tail,
    ) -> Profile:
        """Count the scores of each image's normal and anomalous pixels, the latter with their weights.

        `tail` is of the images without a region.

        The arrays of `negatives` are sorted in place: no copy of them is made.
        """
        for scores in negatives:
            scores.sort()
        edges = _edges(_sample(negatives), _sample([np.sort(scores) for scores in positives]), tail)
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


def _edges(
    negatives: NDArray[np.floating], positives: NDArray[np.floating], tail: Tail
) -> NDArray[np.floating]:
    distinct = np.unique(np.concatenate([negatives, positives]))
    if len(distinct) <= BINS:
        return distinct
    shares = np.arange(1, BINS // 2 + 1) / (BINS // 2)
    of_normal = np.arange(1, BINS // 2 - _OF_TAIL + 1) / (BINS // 2 - _OF_TAIL)
    rates = np.geomspace(*_TAIL_RATES, _OF_TAIL) * tail.pixels / max(len(tail.scores), 1)
    edges = (
        _highest(negatives, of_normal**3),
        _highest(tail.scores, np.minimum(rates, 1)),
        _highest(positives, shares),
    )
    return np.unique(np.concatenate(edges))


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
