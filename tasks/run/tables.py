"""Rows of a run's tables, from its manifest and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np

from storage.computed.scores import Scores
from storage.datasets.dataset import OK, Manifest
from storage.results.schemas import AVERAGED, IMAGES, SCORE_RULES, SPADE

Scored = Mapping[tuple[str, str], Scores]  # by category and method


def summary_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each metric of each method over the categories, given the rows of these."""
    methods = dict.fromkeys(row["method"] for row in rows)
    return [
        {"method": method, **row}
        for method in methods
        for row in _averages([row for row in rows if row["method"] == method])
    ]


def _averages(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    summary = []
    for metric in AVERAGED:
        values = {str(row["category"]): row[metric] for row in rows if row.get(metric) is not None}
        lowest = min(values, key=lambda category: values[category], default=None)
        summary.append(
            {
                "metric": metric,
                "mean": float(np.mean(list(values.values()))) if values else None,
                "lowest": None if lowest is None else values[lowest],
                "lowest_category": lowest,
                "categories": len(values),
                "categories_without": len(rows) - len(values),
            }
        )
    return summary


def image_rows(
    manifest: Manifest, scored: Scored, keys: Mapping[tuple[str, str], str], methods: Sequence[str]
) -> list[dict[str, Any]]:
    """Each test image with its scores by each method, or why it has none."""
    rows = []
    for method, entry in product(methods, manifest.files):
        if entry.split != "test":
            continue
        row = {name: value for name, value in asdict(entry).items() if name in IMAGES.names}
        row["method"] = method
        key = entry.category, method
        if entry.status == OK and key in scored:
            record = scored[key].read(entry.key)
            row |= {f"score_{rule}": getattr(record, f"score_{rule}") for rule in SCORE_RULES}
            row["score_key"] = keys[key]
        elif entry.status == OK:
            row |= {"status": "not scored", "reason": "its category failed"}
        rows.append(row)
    return rows


def neighbor_rows(manifest: Manifest, scored: Scored) -> list[dict[str, Any]]:
    """Each test image's nearest training images by rank, from SPADE's scores."""
    rows = []
    for (category, method), scores in scored.items():
        if method != SPADE:
            continue
        part = manifest.of(category)
        train = part.train()
        for entry in part.test():
            record = scores.read(entry.key)
            pairs = zip(record.neighbors, record.squared_distances, strict=True)
            for rank, (position, distance) in enumerate(pairs, start=1):
                rows.append(
                    {
                        "category": category,
                        "image_id": entry.image_id,
                        "rank": rank,
                        "neighbor_id": train[position].image_id,
                        "squared_distance": distance,
                    }
                )
    return rows
