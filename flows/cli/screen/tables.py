"""Rows as tables for people, with their main columns, or whole for machines."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from json import dumps
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.results.schemas import SCORING_SETTINGS

if TYPE_CHECKING:
    pass

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "backbones": {"name": "name", "library": "library", "levels": "levels", "weights": "weights"},
    "categories": {
        "category": "category",
        "method": "method",
        "image_rocauc_embedding": "image ROCAUC",
        "image_rocauc_map": "image ROCAUC (map)",
        "pixel_rocauc": "pixel ROCAUC",
        "pro": "PRO",
        "pixel_average_precision": "pixel AP",
        "train": "train",
        "test_normal": "normal",
        "test_anomalous": "anomalous",
        "set_aside": "set aside",
        "reason": "failed because",
        "image_reason": "no image metrics because",
        "pixel_reason": "no pixel metrics because",
    },
    "summary": {
        "method": "method",
        "metric": "metric",
        "mean": "mean",
        "lowest": "lowest",
        "lowest_category": "of category",
        "categories": "categories",
    },
    "images": {
        "image_id": "image",
        "method": "method",
        "anomalous": "anomalous",
        "score_embedding": "score (embedding)",
        "score_map": "score (map)",
        "reason": "no score because",
    },
    "neighbors": {
        "image_id": "image",
        "rank": "rank",
        "neighbor_id": "neighbour",
        "squared_distance": "squared distance",
    },
    "comparisons": {
        "verdict": "verdict",
        "category": "category",
        "method": "method",
        "metric": "metric",
        "value": "value",
        "reference": "reference",
        "difference": "difference",
        "low": "95 % from",
        "high": "to",
        "reference_run": "against run",
        "reason": "because",
    },
    "method_comparisons": {
        "dataset": "dataset",
        "category": "category",
        "metric": "metric",
        "method": "method",
        "reference": "against",
        "difference": "difference",
        "low": "95 % from",
        "high": "to",
        "p_value": "p",
        "verdict": "verdict",
        "reason": "because",
    },
    "standings": {
        "dataset": "dataset",
        "category": "category",
        "method": "method",
        "image_rocauc_embedding": "image ROCAUC",
        "image_rocauc_map": "by the map",
        "pixel_rocauc": "pixel ROCAUC",
        "pro": "PRO",
        "fit_seconds": "fit, s",
        "score_seconds": "score, s",
        "state_mib": "holds, MiB",
        "reason": "failed because",
    },
    "ranks": {
        "metric": "metric",
        "method": "method",
        "mean": "mean",
        "mean_rank": "mean rank",
        "critical_difference": "critical difference",
        "friedman_p": "Friedman's p",
        "as_good_as_the_best": "as good as the best",
        "categories": "categories",
        "note": "note",
    },
    "runs": {
        "run": "run",
        "status": "status",
        "finished": "finished",
        "dataset": "dataset",
        "backbone": "backbone",
        "fusion": "fusion",
        "k_gallery": "K",
        "images": "images",
        "set_aside": "set aside",
        "seconds": "seconds",
    },
    "scores": {
        "image": "image",
        "category": "category",
        "score_embedding": "score (embedding)",
        "score_map": "score (map)",
        "threshold": "threshold",
        "verdict": "verdict",
        "nearest": "nearest normal images (squared distance)",
        "reason": "no score because",
    },
    "sweep": {
        **{name: name for name in ("category", *SCORING_SETTINGS)},
        "image_rocauc_embedding": "image ROCAUC",
        "image_rocauc_map": "image ROCAUC (map)",
        "pixel_rocauc": "pixel ROCAUC",
        "pro": "PRO",
        "pixel_average_precision": "pixel AP",
        "reason": "failed because",
    },
    "reproduction": {
        "table": "table",
        "category": "category",
        "method": "method",
        "published": "published",
        "ours": "ours",
        "difference": "difference",
        "reason": "because",
    },
    "registered": {
        "dataset": "dataset",
        "configuration": "configuration",
        "status": "status",
        "image_rocauc_embedding": "image ROCAUC",
        "image_rocauc_map": "image ROCAUC (map)",
        "pixel_rocauc": "pixel ROCAUC",
        "pro": "PRO",
        "seconds": "seconds",
        "verdicts": "against the last good run",
        "run": "run",
        "reason": "because",
    },
    "changes": {
        "kind": "kind",
        "category": "category",
        "split": "split",
        "image_id": "image",
        "previous_id": "was called",
    },
    "plan": {
        "category": "category",
        "images": "images",
        "extract": "to extract",
        "score": "to score",
        "other": "by other methods",
        "feature_gib": "features, up to GiB",
        "map_gib": "maps, up to GiB",
        "forward_gmac": "forward, GMAC",
        "match_gmac": "matching, GMAC",
        "minutes": "minutes",
        "reason": "cannot be evaluated",
    },
    "inspection": {
        name: name
        for name in (
            "category",
            "train",
            "test",
            "without mask",
            "set aside",
            "images",
            "cannot be evaluated",
        )
    },
}
_NOTES = frozenset({"reason", "image_reason", "pixel_reason", "cannot be evaluated", "note"})
_AXES = frozenset({"category", *SCORING_SETTINGS})
_SEVERAL = frozenset(
    {"categories", "summary", "images", "comparisons", "reproduction"}
)  # name the method if there are several


def print_rows(rows: Sequence[Mapping[str, Any]], name: str, style: str) -> None:
    """A table for people (its main columns), or all of it as CSV or JSON."""
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, rows[0].keys() if rows else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _csv_value(value) for key, value in row.items()} for row in rows)
    elif style == "json":
        print(dumps(rows, indent=1, default=str, ensure_ascii=False))
    else:
        print_table(rendered(rows, name))


def rendered(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    footer: Mapping[str, Any] | None = None,
    *,
    decimals: int = 4,
) -> Table:
    """Rows as a table of the main columns; notes where there are any, axes of a sweep where they differ."""
    columns = _COLUMNS[name]
    shown = [
        column
        for column in columns
        if (column not in _NOTES or any(row.get(column) not in (None, "") for row in rows))
        and (
            not ((name == "sweep" and column in _AXES) or (name in _SEVERAL and column == "method"))
            or len({row.get(column) for row in rows}) > 1
        )
    ]
    table = Table(show_footer=footer is not None)
    for column in shown:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(
            columns[column],
            footer=_text((footer or {}).get(column), decimals),
            justify="right" if numeric else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_text(row.get(column), decimals) for column in shown))
    return table


def print_table(table: Table) -> None:
    """Print at the terminal's width; elsewhere as wide as the table needs."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)


def _text(value: Any, decimals: int) -> Text:
    if value is None:
        return Text("")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, float):
        return Text(f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:.1f}")
    if isinstance(value, datetime):
        return Text(f"{value:%Y-%m-%d %H:%M:%S}")
    return Text(str(value))


def _csv_value(value: Any) -> Any:
    return dumps(value) if isinstance(value, list | dict) else value
