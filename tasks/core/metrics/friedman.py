"""Which of several methods differ over categories: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CriticalDifference:
    """Methods compared by their ranks over categories, 1 the best.

    Attributes:
        mean_ranks: (M,) of the methods in their given order.
        statistic: Friedman's chi-square, corrected for ties; None for two methods, or where all tie.
        p_value: of the hypothesis that no method differs, or None with it.
        difference: mean ranks that differ by more differ at level `alpha`.
        groups: sets of positions of methods, each as large as can be, in which no two differ; best first.
    """

    mean_ranks: NDArray[np.float64]
    statistic: float | None
    p_value: float | None
    difference: float
    alpha: float
    groups: tuple[tuple[int, ...], ...]


def critical_difference(values: NDArray[Any], alpha: float = 0.05) -> CriticalDifference:
    """Compare methods by a metric, higher is better, in a table (categories, methods).

    Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006), section 3.2.2:
    with M methods and N categories the critical difference is q sqrt(M (M + 1) / (6 N)), q the Studentized
    range at infinite degrees of freedom over sqrt(2). Ties share their mean rank.

    Raises:
        ValueError: fewer than two methods, no category, or a value that is not finite.
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    if values.ndim != 2 or values.shape[1] < 2 or not len(values):
        raise ValueError(f"a table of shape {values.shape}: a category and two methods are needed at least")
    if not np.isfinite(values).all():
        raise ValueError("the table holds values that are not finite: leave out those categories")
    categories, methods = values.shape
    ranks = rankdata(-values, axis=1)
    statistic = p_value = None
    if methods > 2 and (ranks != ranks[:, :1]).any():
        statistic, p_value = map(float, friedmanchisquare(*(-values.T)))
    q = studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    difference = float(q * np.sqrt(methods * (methods + 1) / (6 * categories)))
    mean_ranks = ranks.mean(axis=0)
    return CriticalDifference(
        mean_ranks, statistic, p_value, difference, alpha, _groups(mean_ranks, difference)
    )


def _groups(mean_ranks: NDArray[np.float64], difference: float) -> tuple[tuple[int, ...], ...]:
    """Runs of methods, best first, that span no more than the difference and are not part of a longer run."""
    order = np.argsort(mean_ranks, kind="stable")
    groups: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        within = mean_ranks[order] <= mean_ranks[order[start]] + difference
        end = int(within.sum())
        if end > reached:
            groups.append(tuple(order[start:end].tolist()))
            reached = end
    return tuple(groups)
