"""Thresholds at a false-positive rate, from the scores of held-out normal images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from tasks.core.errors import ConfigurationError


def check_rate(rate: float) -> None:
    """Raise ConfigurationError if `rate` is no false-positive rate."""
    if not (isinstance(rate, int | float) and 0 < rate < 1):
        raise ConfigurationError(f"fpr is {rate!r}: it is a false-positive rate between 0 and 1, as 0.01")


def images_needed(rate: float) -> int:
    """The smallest number of normal images that can give a threshold at this rate: 99 for 0.01."""
    return math.ceil(1 / _exact(rate)) - 1


def conformal_threshold(scores: Sequence[float], rate: float) -> float:
    """The score above which an image counts as anomalous: the ceil((n + 1)(1 - rate))-th smallest of n.

    A further normal image scores above it with a probability of at most `rate`, over all draws of the n and
    the one, if all n + 1 scores are exchangeable (Vovk et al., Algorithmic Learning in a Random World, 2005).

    Raises:
        ValueError: fewer scores than `images_needed`.
    """
    rank = math.ceil((len(scores) + 1) * (1 - _exact(rate)))
    if rank > len(scores):
        raise ValueError(
            f"a rate of {rate:g} needs {images_needed(rate)} scores, and there are {len(scores)}"
        )
    return sorted(scores)[rank - 1]


def _exact(rate: float) -> Fraction:
    """The decimal that was written: in binary, 100 * (1 - 0.01) is not 99."""
    return Fraction(repr(float(rate)))
