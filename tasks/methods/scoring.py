"""A method on a category: a key, the scores found by it, and how any image is asked about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import ImageScore, Scores
from storage.store.store import digest
from tasks.core.methods.interface import Method, Pyramid
from tasks.core.networks.traits import Level
from tasks.job import Part, Stage

if TYPE_CHECKING:
    from tasks.methods.fitted import FeatureScoring

BATCH_SIZE = 8
Map = NDArray[np.float32] | None


class Asked(NamedTuple):
    """An image that is asked about: digest, embedding (D,), and what reads some of its levels."""

    key: str
    embedding: NDArray[np.float32]
    levels: Callable[[Sequence[Level]], Pyramid]


@dataclass(frozen=True, eq=False)
class Scoring(ABC):
    """A method on one category of a run."""

    part: Part
    method: Method

    @cached_property
    def settled(self) -> Method:
        """The method with what it leaves open settled for this category."""
        return self.method.settled(self.part.job.configuration.grids, len(self.part.train))

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """All that determines the scores of test images."""

    @cached_property
    def key(self) -> str:
        """The score key, a digest of the description."""
        return digest(self.description)

    @cached_property
    def scores(self) -> Scores:
        """The scores in the store."""
        return Scores(self.part.store, self.key)

    @abstractmethod
    def score(self) -> list[Stage]:
        """Append the scores that test images lack; a batch that is recorded is not done again."""

    @abstractmethod
    def pieces(self) -> list[FeatureScoring]:
        """All that is scored from features for it, which others may do before."""

    def refusal(self) -> str | None:
        """Why the method cannot score an image on its own, if it cannot."""
        return None

    @abstractmethod
    def ask(self, image: Asked) -> tuple[ImageScore, Map]:
        """The record and the anomaly map (R, R) of any image, as `score` computes them."""

    @abstractmethod
    def held_out(self, keys: Sequence[str], *, maps: bool) -> Iterator[tuple[ImageScore, Map]]:
        """Record and map of training images, as if the method had not seen them.

        Without `maps` there are none, and the records lack the score by the map; that may cost less.
        """

    def stage(
        self, step: str, seconds: float, computed: int, total: int, mebibytes: float | None = None
    ) -> Stage:
        """A finished step of this method."""
        return Stage(
            step, self.part.category, seconds, computed, total, self.method.label, self.key, mebibytes
        )
