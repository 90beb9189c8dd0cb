"""A sequence in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def batches(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in order, `size` at a time; the last batch may be smaller."""
    for first in range(0, len(values), size):
        yield values[first : first + size]
