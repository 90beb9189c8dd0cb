"""Points of the curves whose areas are the metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.core.metrics.ranking import PRO_LIMIT, Ranking


@dataclass(frozen=True)
class Curve:
    """Points (N,) of a curve that never falls, from left to right; straight between them."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]

    def thin(self, steps: int = 400) -> Curve:
        """The same curve for drawing, off by less than 1 / `steps` of each axis."""
        width, height = self.x[-1] or 1.0, self.y[-1] or 1.0
        cells = np.stack([np.floor(self.x / width * steps), np.floor(self.y / height * steps)])
        entered = np.append(True, (cells[:, 1:] != cells[:, :-1]).any(axis=0))
        left = np.append(entered[1:], True)
        kept = entered | left
        return Curve(self.x[kept], self.y[kept])


def roc_curve(ranking: Ranking) -> Curve:
    """True-positive rate over false-positive rate, from (0, 0) to (1, 1); its area is `Ranking.rocauc`."""
    return _curve(ranking, ranking.true_positives / ranking.true_positives[-1])


def pro_curve(ranking: Ranking, limit: float = PRO_LIMIT) -> Curve:
    """Per-region overlap over false-positive rate up to `limit`; its area over `limit` is `Ranking.pro`."""
    whole = _curve(ranking, ranking.overlap)
    inside = whole.x < limit
    end = np.interp(limit, whole.x, whole.y) if not inside.all() else whole.y[-1]
    return Curve(np.append(whole.x[inside], limit), np.append(whole.y[inside], end))


def _curve(ranking: Ranking, found: NDArray[np.float64]) -> Curve:
    """`found` (T,) at each threshold: level while only negatives pass, sloped where both kinds tie."""
    before = np.concatenate(([0.0], found[:-1]))
    ends = np.stack([ranking.false_positives_above, ranking.false_positives], axis=1).ravel()
    rate = np.concatenate(([0], ends, [ranking.negatives])) / ranking.negatives
    share = np.concatenate(([0.0], np.stack([before, found], axis=1).ravel(), found[-1:]))
    return Curve(rate, share)
