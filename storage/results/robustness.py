"""What corruptions cost, averaged over the categories of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

CLEAN = "none"  # the corruption of images as they are
MEASURES = {"rocauc": "ROCAUC", "false_alarm_rate": "false alarms", "miss_rate": "missed"}  # as shown


def averages(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a method, score, corruption and severity: the mean of each measure over categories."""
    names = ("method", "rule", "corruption", "severity")
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return [
        dict(zip(names, key, strict=True))
        | {"categories": len(of_one), "amount": of_one[0]["amount"]}
        | {name: _mean([row[name] for row in of_one if row[name] is not None]) for name in MEASURES}
        for key, of_one in found.items()
    ]


def by_rule(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a method, corruption and severity: the measures of each score side by side, as MEASURE_RULE."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        about = {name: row[name] for name in ("method", "corruption", "severity")}
        of_one = found.setdefault(tuple(about.values()), about)
        of_one |= {f"{name}_{row['rule']}": row[name] for name in MEASURES}
    return list(found.values())


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
