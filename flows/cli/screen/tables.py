"""Rows as tables for people, with their main columns, or whole for machines."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from json import dumps
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.results.metrics import BY_IMAGE, COMPARED, OCCASIONAL, SCORE_RULES, SHOWN
from storage.results.robustness import MEASURES
from storage.results.schemas import THRESHOLD_RULES
from tasks.core.grid import AXES, K


def _plain(*names: str) -> dict[str, str]:
    """Columns with their names as titles, blanks in place of underscores."""
    return {name: name.replace("_", " ") for name in names}


_AXES = {name: name for name in AXES if name != K}  # as the options call them
_SCORES = {f"score_{rule}": f"score ({rule})" for rule in SCORE_RULES}
_OF_RULES = {
    f"{measure}_{rule}": f"{title} ({rule})"
    for rule in THRESHOLD_RULES
    for measure, title in MEASURES.items()
}
_ENDS = {"low": "95 % from", "high": "to"}
_DIFFERENCE = {**_plain("difference"), **_ENDS, "p_adjusted": "p, corrected"}
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "backbones": _plain("name", "library", "levels", "weights"),
    "categories": {
        **_plain("category", "method"),
        **SHOWN,
        **{metric.name: metric.title for metric in OCCASIONAL},
        "train": "train",
        "test_normal": "normal",
        "test_anomalous": "anomalous",
        "unlabelled": "unlabelled",
        "set_aside": "set aside",
        "reason": "failed because",
        "image_reason": "no image metrics because",
        "pixel_reason": "no pixel metrics because",
        "map_reason": "no anomaly map because",
    },
    "summary": {
        **_plain("method", "metric", "mean"),
        **_ENDS,
        **_plain("lowest"),
        "lowest_category": "of category",
        "categories": "categories",
    },
    "images": {
        "image_id": "image",
        **_plain("method", "anomalous", "defect"),
        **_SCORES,
        "reason": "no score because",
    },
    "kinds": {
        **_plain("category", "method", "defect", "images"),
        **{f"image_recall_{rule}": f"found ({rule})" for rule in SCORE_RULES},
        **{f"image_f1_{rule}": f"F1 ({rule})" for rule in SCORE_RULES},
        **{metric.name: metric.title for metric in BY_IMAGE},
    },
    "operating": {
        **_plain("category", "method", "rule", "fpr", "threshold", "normal"),
        "false_alarms": "false alarms",
        **_plain("anomalous", "missed"),
        "seg_f1": "SegF1",
        "reason": "no threshold because",
    },
    "misses": {
        **_plain("category", "method", "rule", "defect", "images", "missed"),
        "miss_rate": "share",
        "miss_rate_low": "95 % from",
        "miss_rate_high": "to",
    },
    "operating_curve": {
        **_plain("category", "method", "rule", "fpr", "threshold"),
        "false_alarm_rate": "false alarms",
        "miss_rate": "missed",
        "seg_f1": "SegF1",
    },
    "robustness": {
        **_plain("category", "method", "rule", "corruption", "severity"),
        "rocauc": "ROCAUC",
        "false_alarms": "false alarms",
        "false_alarm_rate": "share",
        "missed": "missed",
        "miss_rate": "share",
        "reason": "because",
    },
    "corruptions": {**_plain("method", "corruption", "severity"), **_OF_RULES},
    "regions": {
        "image_id": "image",
        **_plain("method", "region", "left", "top", "width", "height", "area", "peak", "mean"),
        "true_share": "in the true mask",
    },
    "neighbors": {
        "image_id": "image",
        **_plain("method", "rank"),
        "neighbor_id": "neighbour",
        "squared_distance": "squared distance",
    },
    "conventions": {
        **_plain("category", "method", "metric", "ours"),
        "by_convention": "as that code",
        "convention": "which code",
        "reason": "missing because",
    },
    "comparisons": {
        **_plain("verdict", "category", "method", "metric", "value", "reference"),
        **_DIFFERENCE,
        "reference_run": "against run",
        "reason": "because",
    },
    "method_comparisons": {
        **_plain("dataset", "category", "metric", "method"),
        "reference": "against",
        **_DIFFERENCE,
        "detectable": "detectable",
        "verdict": "verdict",
        "reason": "because",
    },
    "standings": {
        **_plain("dataset", "category", "method"),
        **{metric.name: metric.title for metric in COMPARED},
        "fit_seconds": "fit, s",
        "score_seconds": "score, s",
        "state_mib": "holds, MiB",
        "reason": "failed because",
    },
    "ranks": {
        **_plain("metric", "method", "mean", "mean_rank", "critical_difference"),
        "friedman_p": "Friedman's p",
        **_plain("as_good_as_the_best", "categories", "note"),
    },
    "runs": _plain(
        "run", "status", "finished", "dataset", "backbone", "methods", "images", "set_aside", "seconds"
    ),
    "scores": {
        **_plain("image", "category"),
        **_SCORES,
        **_plain("threshold", "verdict"),
        "nearest": "nearest normal images (squared distance)",
        "reason": "no score because",
    },
    "sweep": {**_plain("category", "method"), **_AXES, **SHOWN, "reason": "failed because"},
    "reproduction": {
        **_plain("table", "category", "method", "published", "ours", "difference"),
        "reason": "because",
    },
    "registered": {
        **_plain("dataset", "configuration", "status", "method"),
        **SHOWN,
        "seconds": "seconds",
        "verdicts": "against the last good run",
        "drifted": "drifted",
        "run": "run",
        "reason": "because",
    },
    "drift": {
        **_plain("verdict", "category", "measure", "train", "test"),
        "train_mean": "mean, train",
        "test_mean": "mean, test",
        "statistic": "energy distance",
        "p_adjusted": "p, corrected",
        "reason": "because",
    },
    "changes": {
        **_plain("kind", "category", "split"),
        "image_id": "image",
        "previous_id": "was called",
    },
    "stages": _plain("step", "category", "method", "seconds", "computed", "total"),
    "manifest": {
        **_plain("split", "image_id", "width", "height", "mode", "defect", "status"),
        "reason": "set aside because",
        "mask_reason": "without mask because",
        "warning": "warning",
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
    "usage": {
        **_plain("dataset", "backbone", "kind", "files"),
        "bytes": "MiB",
        "bytes_that_may_go": "may go, MiB",
    },
    "prune": {**_plain("kind", "count", "files"), "bytes": "MiB", "why": "why"},
    "inspection": _plain(
        *("category", "train", "validation", "test", "unlabelled", "without mask", "masks", "set aside"),
        *("images", "cannot be evaluated"),
    ),
}
_NOTES = frozenset(  # shown where a row has one; reasons, too
    {
        *("cannot be evaluated", "note", "warning", "validation", "unlabelled", "masks"),
        *(metric.name for metric in OCCASIONAL),
        *_OF_RULES,
    }
)
_SEVERAL = frozenset({"category", "method", *_AXES})  # shown where rows differ in them, in these tables:
_DIFFERING: Mapping[str, Set[str]] = {
    "sweep": _SEVERAL,
    **dict.fromkeys(
        (
            "categories",
            "summary",
            "images",
            "kinds",
            "operating",
            "misses",
            "operating_curve",
            "robustness",
            "corruptions",
            "conventions",
            "regions",
            "neighbors",
            "comparisons",
            "reproduction",
            "registered",
        ),
        frozenset({"method"}),
    ),
}


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
    """Rows as a table of the main columns; notes where there are any, methods and axes where they differ.

    Of an unknown name all columns are shown, as they are called.
    """
    columns = _COLUMNS.get(name) or {column: column for column in (rows[0] if rows else ())}
    shown = [
        column
        for column in columns
        if (
            not _is_note(column)
            or name not in _COLUMNS
            or any(map(_is_noted, (row.get(column) for row in rows)))
        )
        and (column not in _DIFFERING.get(name, ()) or len({row.get(column) for row in rows}) > 1)
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


def _is_noted(value: Any) -> bool:
    """Whether a note says anything: a metric of 0 does, a count of 0 does not."""
    return isinstance(value, float) or bool(value)


def _is_note(column: str) -> bool:
    return column in _NOTES or column.endswith("reason")


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
    return Text(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _csv_value(value: Any) -> Any:
    return dumps(value) if isinstance(value, list | dict) else value
