"""The rows of a run's tables, and the schema of the table of runs with its settings."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import product
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

from storage.computed.scores import Scores
from storage.datasets.manifest import OK, SCORED_SPLITS, Manifest
from storage.results.metrics import AVERAGED, SCORE_RULES
from storage.results.schemas import IMAGES, RUN_FACTS, field, label
from tasks.core.config import Configuration
from tasks.core.methods.interface import Method
from tasks.core.methods.registry import parse_method
from tasks.core.methods.spade import Spade
from tasks.core.metrics.intervals import mean_interval
from tasks.core.settings import Settings, declarations, make

Scored = Mapping[tuple[str, str], Scores]  # by category and label of a method
_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), tuple: pa.list_(pa.string())}


def _setting_columns(settings: type[Settings], *, nullable: bool) -> Iterator[pa.Field]:
    hints = get_type_hints(settings)
    for name, declared, default in declarations(settings):
        hint = hints[name]
        if isinstance(hint, types.UnionType):  # of a type and None
            hint = get_args(hint)[0]
        may_be_null = nullable or default is None
        part = declared.determines
        if declared.choices or name == "backbone":
            yield label(name, declared.help, nullable=may_be_null, setting=part)
        else:
            kind = _TYPES[get_origin(hint) or hint]
            yield field(name, kind, declared.help, nullable=may_be_null, setting=part)


RUN = pa.schema(
    [
        *RUN_FACTS,
        *_setting_columns(Configuration, nullable=False),
        *_setting_columns(Spade, nullable=True),
    ]
)


def setting_values(configuration: Configuration, methods: Sequence[Method]) -> dict[str, Any]:
    """The columns of settings of a run; those of SPADE, with its levels, are null without it."""
    spade = first_spade(methods)
    values = configuration.values()
    if spade is not None:
        values |= spade.values() | {"levels": spade.levels or configuration.levels}
    return {
        name: list(map(str, value)) if isinstance(value, tuple) else value for name, value in values.items()
    }


def first_spade(methods: Sequence[Method]) -> Spade | None:
    """SPADE as the first of the methods that is or joins it has it set."""
    members = (member for method in methods for member in method.members)
    return next((member for member in members if isinstance(member, Spade)), None)


def configuration_of(record: Mapping[str, Any]) -> Configuration:
    """What the methods of a run have in common, from its row of the table of runs."""
    names = {each.name for each in fields(Configuration)}
    given = {name: value for name, value in record.items() if name in names}
    found: Configuration = make(Configuration, "configuration", given)
    return found


def methods_of(record: Mapping[str, Any]) -> tuple[Method, ...]:
    """The methods of a run, from its row of the table of runs."""
    return tuple(parse_method(text) for text in record["methods"])


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
        having = [row for row in rows if row.get(metric.name) is not None]
        values = {str(row["category"]): row[metric.name] for row in having}
        ends = [(row[metric.low], row[metric.high]) for row in having if row.get(metric.low) is not None]
        known = ends and len(ends) == len(values)
        low, high = mean_interval(list(values.values()), ends) if known else (None, None)
        lowest = min(values, key=lambda category: values[category], default=None)
        summary.append(
            {
                "metric": metric.name,
                "mean": float(np.mean(list(values.values()))) if values else None,
                "low": low,
                "high": high,
                "lowest": None if lowest is None else values[lowest],
                "lowest_category": lowest,
                "categories": len(values),
                "categories_without": len(rows) - len(values),
            }
        )
    return summary


def image_rows(
    manifest: Manifest,
    scored: Scored,
    keys: Mapping[tuple[str, str], str],
    methods: Sequence[str],
    measured: Mapping[tuple[str, str], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Each image to score with its scores by each method, or why it has none.

    `measured` is what else is said of single images, by the method's label and the image's id.
    """
    rows = []
    for method, image in product(methods, manifest.files):
        if image.split not in SCORED_SPLITS:
            continue
        row = {name: value for name, value in asdict(image).items() if name in IMAGES.names}
        row["method"] = method
        key = image.category, method
        if image.status == OK and key in scored:
            record = scored[key].read(image.key)
            row |= {f"score_{rule}": getattr(record, f"score_{rule}") for rule in SCORE_RULES}
            row |= {"score_key": keys[key], **measured.get((method, image.image_id), {})}
        elif image.status == OK:
            row |= {"status": "not scored", "reason": "its category failed"}
        rows.append(row)
    return rows


def neighbor_rows(manifest: Manifest, scored: Scored) -> list[dict[str, Any]]:
    """Each scored image's nearest training images by rank, of the methods that name them."""
    rows = []
    for (category, method), scores in scored.items():
        part = manifest.of(category)
        train = part.train()
        for image in part.scored():
            record = scores.read(image.key)
            pairs = zip(record.neighbors, record.squared_distances, strict=True)
            for rank, (position, distance) in enumerate(pairs, start=1):
                rows.append(
                    {
                        "category": category,
                        "method": method,
                        "image_id": image.image_id,
                        "rank": rank,
                        "neighbor_id": train[position].image_id,
                        "squared_distance": distance,
                    }
                )
    return rows
