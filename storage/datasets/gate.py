"""The gate of a registry: the metrics that a night is held to, and what each may lose.

[gate]
NAME = 0.005                    a metric with an interval, and the loss that is none
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from storage.results.metrics import COMPARED


def parse_gate(table: Any) -> dict[str, float]:
    """Tolerances by metric, as a table [gate] says.

    Raises:
        ValueError: it is no table, a metric is unknown or has no interval, or a tolerance is no share of 1.
    """
    if not isinstance(table, dict):
        raise ValueError(f"gate is {table!r}: write a table [gate]")
    names = [metric.name for metric in COMPARED]
    for name, tolerance in table.items():
        if name not in names:
            near = get_close_matches(name, names) or names
            raise ValueError(f"gate: {name} is no metric that is compared: did you mean {', '.join(near)}?")
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance <= 1:
            raise ValueError(f"gate.{name} is {tolerance!r}: it is a number from 0 to 1, as 0.005")
    return {name: float(tolerance) for name, tolerance in table.items()}
