"""How well each kind of defect is found: the rows of the table of kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.results.metrics import BY_IMAGE, SCORE_RULES
from tasks.core.metrics.ranking import Ranking

Row = Mapping[str, Any]


def kind_rows(categories: Sequence[Row], images: Sequence[Row]) -> list[dict[str, Any]]:
    """A row a category, method and kind of defect, from the rows of categories and of test images."""
    scored: dict[tuple[str, str], list[Row]] = {}
    for row in images:
        if row["status"] == "ok" and row["split"] == "test":
            scored.setdefault((row["category"], row["method"]), []).append(row)
    return [
        row
        for category in categories
        if category["status"] == "ok"
        for row in _of_category(category, scored.get((category["category"], category["method"]), []))
    ]


def _of_category(category: Row, images: Sequence[Row]) -> list[dict[str, Any]]:
    normal = [row for row in images if row["anomalous"] is False]
    kinds: dict[str, list[Row]] = {}
    for row in images:
        if row["anomalous"]:
            kinds.setdefault(row["defect"], []).append(row)
    found = []
    for defect, of_kind in sorted(kinds.items()):
        about = {name: category[name] for name in ("dataset", "category", "method")}
        row = about | {"defect": defect, "images": len(of_kind)}
        for rule in SCORE_RULES:
            if of_kind[0][f"score_{rule}"] is not None and normal:
                scores, others = (
                    np.array([each[f"score_{rule}"] for each in side]) for side in (of_kind, normal)
                )
                values = _found(scores, others, category[f"image_f1_max_threshold_{rule}"])
                row |= {f"image_{name}_{rule}": value for name, value in values.items()}
        for metric in BY_IMAGE:
            known = [each[metric.name] for each in of_kind if each.get(metric.name) is not None]
            row[metric.name] = float(np.mean(known)) if known else None
        found.append(row)
    return found


def _found(anomalous: NDArray[np.float64], normal: NDArray[np.float64], threshold: float) -> dict[str, float]:
    hits, alarms = int((anomalous >= threshold).sum()), int((normal >= threshold).sum())
    return {
        "rocauc": Ranking.of(normal, anomalous).rocauc(),
        "recall": hits / len(anomalous),
        "f1": 2 * hits / (hits + alarms + len(anomalous)),
    }
