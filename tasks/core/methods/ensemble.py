"""Several methods as one: by scores on the scale of normal images, or by ranks within the test set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from tasks.core.config import ConfigurationError

HELD_OUT = 0.2
Rule = Literal["scores", "ranks"]


@dataclass(frozen=True)
class Ensemble:
    """The mean of several methods, each with the weight of the others.

    Attributes:
        methods: by name, with settings where they are not the published ones; "spade" among them.
        rule: of image scores: "scores" on the scale of normal images, or "ranks" within the test set.
        seed: of the draw of the training images that are held out for the scales.
    """

    name: ClassVar[str] = "ensemble"
    methods: tuple[str, ...] = ("spade", "patchcore")
    rule: Rule = "scores"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the settings but for the methods' names, which the registry knows."""
        if self.rule not in get_args(Rule):
            raise ConfigurationError(f"rule is {self.rule!r}: it is scores or ranks")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigurationError(f"seed is {self.seed!r}: it is a whole number, 0 or more")
        if not isinstance(self.methods, tuple) or not all(isinstance(each, str) for each in self.methods):
            raise ConfigurationError(
                f"methods is {self.methods!r}: name them as ensemble(methods=('spade', 'patchcore'))"
            )
        if len(set(self.methods)) < 2 or len(set(self.methods)) < len(self.methods):
            raise ConfigurationError(f"methods is {self.methods!r}: name two or more, each once")


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a method's scores of normal images that it was not fitted on.

    Scores of the images it was fitted on would be too low, and scores of test images are not to be seen: a
    method is fitted once more, without the images of `held_out`, and scores those.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, parts: Iterable[NDArray[Any]]) -> Scale:
        """The scale of image scores or maps, given in parts of any shape.

        Raises:
            ValueError: fewer than two scores, or all alike.
        """
        count, total, squares, shift = 0, 0.0, 0.0, None
        for part in parts:
            values = np.asarray(part, np.float64).ravel()
            shift = values[0] if shift is None and len(values) else shift
            values = values - (shift or 0)
            count += len(values)
            total += float(values.sum())
            squares += float((values**2).sum())
        deviation = ((squares - total**2 / count) / (count - 1)) ** 0.5 if count > 1 else 0.0
        if not deviation > 0:
            raise ValueError(f"{count} scores of held-out images have no spread: hold out more images")
        return cls((shift or 0) + total / count, deviation)

    def apply(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Scores of any shape in deviations above the mean, in their own dtype."""
        return np.asarray((scores - self.mean) / self.deviation, scores.dtype)


def held_out(count: int, seed: int, share: float = HELD_OUT) -> NDArray[np.bool_]:
    """Which of `count` training images are held out (count,): at least two, never all.

    Raises:
        ValueError: fewer than three images.
    """
    if count < 3:
        raise ValueError(f"{count} training images: three are needed to hold out two")
    chosen = np.zeros(count, np.bool_)
    size = min(max(2, round(share * count)), count - 1)
    chosen[np.random.default_rng(seed).choice(count, size, replace=False)] = True
    return chosen


def mean_normalized(scores: Sequence[NDArray[Any]], scales: Sequence[Scale]) -> NDArray[Any]:
    """The mean over methods of their scores, or maps, of one shape, each on its own scale."""
    scaled = [scale.apply(values) for values, scale in zip(scores, scales, strict=True)]
    return np.asarray(np.mean(scaled, axis=0))


def mean_rank(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over methods of the ranks (N,) of their scores (N,) among all test images, from 0 to 1.

    Ties share their mean rank. It is transductive: an image's score depends on the test images beside it,
    so it serves to compare, not to decide on one image.
    """
    ranks = np.mean([rankdata(values) for values in scores], axis=0)
    return np.asarray((ranks - 1) / max(len(ranks) - 1, 1))
