"""For the most anomalous position of a new image: where its best match lies in which training image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tasks.core.methods.interface import Correspondence, Method, Pyramid, Query, Training
from tasks.job import Part
from tasks.methods.fitted import training_images
from tasks.methods.matches import Match, Question, nearer, within
from tasks.methods.scoring import Asked, Scoring


@dataclass(frozen=True, eq=False)
class Matcher:
    """The method that says where the best match of a patch lies, on one category."""

    part: Part
    method: Method
    correspondence: Correspondence

    @classmethod
    def of(cls, scoring: Scoring) -> Matcher | None:
        """The method of a scoring, or the first that it joins that says so; None if none does."""
        for method in scoring.settled.members:
            if (found := method.correspondence) is not None:
                return cls(scoring.part, method, found)
        return None

    def find(self, image: Asked, anomaly_map: NDArray[np.float32]) -> list[Match]:
        """The best match on each grid of the most anomalous patch by a map (R, R)."""
        query = Query(image.embedding, image.levels(self.correspondence.levels), image.key)
        question = Question.of(self.method, self.correspondence, query, anomaly_map, self._training)
        train, found = self.part.manifest.train(), list[Match]()
        for position in question.compared:
            pyramid = self._read(self.part.train[position])
            (offered,) = within(train[position], pyramid, [question], self.correspondence)
            found = nearer(found, offered)
        return found

    @cached_property
    def _training(self) -> Training:
        return training_images(self.part, ())

    @cached_property
    def _read(self) -> Callable[[str], Pyramid]:
        return self.part.pyramids(self.correspondence.levels)
