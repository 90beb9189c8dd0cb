"""What a method is: fitted on a category's normal images, then asked about test images one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pyramid = Sequence[NDArray[Any]]
State = dict[str, NDArray[Any]]


class Scores(NamedTuple):
    """The image score, and the pixel scores (H, W) float32 at the method's own grid, if it has any.

    Higher is more anomalous. `pyramid.smooth` brings the pixel scores to metric resolution.
    """

    image: float
    map: NDArray[np.float32] | None


Scorer = Callable[[NDArray[np.float32], Pyramid], Scores]


@dataclass(frozen=True)
class Training:
    """The normal images of a category.

    Attributes:
        embeddings: (N, D) float32.
        pyramid: levels (H, W, C) float16 or float32 of the image at a position from 0 to N - 1, those of the
            method's strides in their order. It is called for one image after the other, in some methods
            twice, and what it returns is not kept.
    """

    embeddings: NDArray[np.float32]
    pyramid: Callable[[int], Pyramid]

    def __post_init__(self) -> None:
        """Check that there is an image."""
        if not len(self.embeddings):
            raise ValueError("no training image: a method needs at least one")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.embeddings)

    def pyramids(self) -> Iterator[Pyramid]:
        """The levels of one image after the other."""
        first = None
        for position in range(len(self)):
            pyramid = self.pyramid(position)
            shapes = [np.shape(level) for level in pyramid]
            first = first or shapes
            if shapes != first:
                raise ValueError(f"training image {position} has levels {shapes}, the first has {first}")
            yield pyramid


class Method(Protocol):
    """Settings of a method, a frozen dataclass; everything in it determines the scores.

    A state is a dict of plain arrays, all that scoring needs: stored and loaded again it gives the same
    scores. The same settings and training images give the same state.
    """

    @property
    def name(self) -> str:
        """As in `--method` and in tables."""

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the levels it reads, finest first; none for a method of embeddings alone."""

    def fit(self, training: Training) -> State:
        """Learn the normal images of a category."""

    def scorer(self, state: State) -> Scorer:
        """What scores a test image, given its embedding (D,) and the levels of `strides`."""
