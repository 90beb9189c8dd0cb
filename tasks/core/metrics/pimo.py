"""AUPIMO: how much of each anomalous image is found while normal images have next to no false positive.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance",
BMVC 2024, arXiv 2401.01984.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST_RATE, HIGHEST_RATE = 1e-5, 1e-4
_KEPT = 10 * HIGHEST_RATE  # of the normal pixels: what resampled images may need


@dataclass(frozen=True)
class Tail:
    """The pixels of normal images that score highest.

    Attributes:
        scores: (K,) ascending, a thousandth of all.
        pixels: how many there are in all.
    """

    scores: NDArray[np.floating]
    pixels: int

    @classmethod
    def of(cls, normal: Sequence[NDArray[np.floating]]) -> Tail:
        """Of the scores of each normal image; each is read once."""
        pixels = sum(map(len, normal))
        return cls(_highest(normal, int(_KEPT * pixels) + 1), pixels)

    @property
    def reason(self) -> str | None:
        """Why no rate can be told by these pixels, or None."""
        needed = round(1 / HIGHEST_RATE)
        if self.pixels >= needed:
            return None
        return (
            f"normal test images have {self.pixels} pixels: "
            f"to tell a false-positive rate of {HIGHEST_RATE:g}, {needed} are needed"
        )


def aupimo(positives: Sequence[NDArray[np.floating]], tail: Tail) -> NDArray[np.float64]:
    """AUPIMO (N,) of each image's anomalous pixels, NaN where there is none.

    The recall of an image at a rate z is that of the lowest threshold whose rate is at most z: the area under
    these steps over log z is the mean over the image's pixels of `found_share`. The rate is that of all
    pixels of normal images; of maps of one size that is the mean of the images' rates.
    """
    found = np.full(len(positives), np.nan)
    for number, scores in enumerate(positives):
        if len(scores):
            reached = len(tail.scores) - np.searchsorted(tail.scores, scores, side="left")
            found[number] = found_share(reached / tail.pixels).mean()
    return found


def found_share(rates: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share of the range of log rates in which a pixel is found that is reached at each of these rates."""
    with np.errstate(divide="ignore"):
        short = np.log(HIGHEST_RATE) - np.log(rates)
    share: NDArray[np.float64] = np.clip(short / np.log(HIGHEST_RATE / LOWEST_RATE), 0, 1)
    return share


def _highest(parts: Iterable[NDArray[np.floating]], count: int) -> NDArray[np.floating]:
    """The `count` highest of all scores, ascending."""
    kept: NDArray[np.floating] = np.empty(0, np.float32)
    for part in parts:
        rivals = part[part > kept[0]] if len(kept) == count else part
        kept = np.concatenate([kept, rivals])
        if len(kept) > count:
            kept = np.partition(kept, -count)[-count:]
        kept.sort()
    return kept
