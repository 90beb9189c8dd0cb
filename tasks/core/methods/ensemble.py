"""Several methods as one: by scores on the scale of normal images, or by ranks within the test set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Correspondence, Method
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.spade import Spade
from tasks.core.networks.traits import Grids
from tasks.core.settings import setting

HELD_OUT = 0.2
Rule = Literal["scores", "ranks"]
Unit = Literal["deviation", "median"]


@dataclass(frozen=True)
class Ensemble(Method):
    """The mean of several methods, each with the weight of the others.

    An image is explained by the first of them that can: its neighbours, and where its best match lies.
    """

    name: ClassVar[str] = "ensemble"
    methods: tuple[Method, ...] = setting((Spade(), PatchCore()), "that are joined, two or more")
    rule: Rule = setting(
        "scores",
        "of image scores: their mean on the scale of held-out normal images, or of ranks in the test set",
        choices=get_args(Rule),
    )
    seed: int = setting(0, "of the draw of the training images that are held out for the scales", low=0)
    scale: Unit = setting(
        "deviation",
        "of scores and maps, by those of held-out normal images: deviations above their mean, or divided by "
        "their median",
        choices=get_args(Unit),
        later=True,
    )

    def __post_init__(self) -> None:
        """Check the settings and the methods."""
        super().__post_init__()
        labels = [method.label for method in self.methods]
        if any(isinstance(method, Ensemble) for method in self.methods):
            raise ConfigurationError(
                f"methods is {labels}: an ensemble in an ensemble; name its methods instead"
            )
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise ConfigurationError(f"methods is {labels}: name two or more, each once")

    @property
    def members(self) -> tuple[Method, ...]:
        """The methods that are joined."""
        return self.methods

    @property
    def has_map(self) -> bool:  # type: ignore[override]  # depends on the methods
        """Whether any of the methods scores pixels."""
        return any(method.has_map for method in self.methods)

    @property
    def neighbor_count(self) -> int:
        """Those of the first method that names neighbours."""
        return next(filter(None, (method.neighbor_count for method in self.methods)), 0)

    @property
    def correspondence(self) -> Correspondence | None:
        """That of the first method that has one."""
        return next((found for method in self.methods if (found := method.correspondence)), None)

    def settled(self, grids: Grids, images: int | None = None) -> Self:
        """The ensemble of the settled methods."""
        return replace(self, methods=tuple(method.settled(grids, images) for method in self.methods))

    @staticmethod
    def _text(value: Any) -> str:
        return repr(tuple(each.label for each in value) if isinstance(value, tuple) else value)


@dataclass(frozen=True)
class Scale:
    """Zero and unit of a scale, given by a method's scores of normal images that it was not fitted on.

    Scores of the images it was fitted on would be too low, and scores of test images are not to be seen: a
    method is fitted once more, without the images of `held_out`, and scores those.
    """

    zero: float
    unit: float

    @classmethod
    def of(cls, parts: Iterable[NDArray[Any]], unit: Unit = "deviation") -> Scale:
        """The scale of image scores, or of maps, in parts of any shape."""
        return cls.by_deviation(parts) if unit == "deviation" else cls.by_median(parts)

    @classmethod
    def by_median(cls, parts: Iterable[NDArray[Any]]) -> Scale:
        """The median as the unit: that of the medians of the parts, one of which is in memory at a time.

        Raises:
            ValueError: it is not above 0.
        """
        medians = [float(np.median(part)) for part in parts]
        unit = float(np.median(medians)) if medians else 0.0
        if not unit > 0:
            raise ValueError(
                f"the median of scores of held-out images is {unit:g}: name scale='deviation' instead"
            )
        return cls(0.0, unit)

    @classmethod
    def by_deviation(cls, parts: Iterable[NDArray[Any]]) -> Scale:
        """Their mean as zero, their standard deviation as the unit.

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
        """Scores of any shape on the scale, in their own dtype."""
        return np.asarray((scores - self.zero) / self.unit, scores.dtype)


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
    from scipy.stats import rankdata

    ranks = np.mean([rankdata(values) for values in scores], axis=0)
    return np.asarray((ranks - 1) / max(len(ranks) - 1, 1))
