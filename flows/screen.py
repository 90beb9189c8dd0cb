"""What a user sees: progress while a run works, and tables."""

from __future__ import annotations

import csv
import json
import logging
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from storage.datasets import Manifest
from storage.errors import DatasetError
from storage.results import Results

if TYPE_CHECKING:
    from tasks.plan import Plan

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "categories": {
        "category": "category",
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
        "metric": "metric",
        "mean": "mean",
        "lowest": "lowest",
        "lowest_category": "of category",
        "categories": "categories",
    },
    "images": {
        "image_id": "image",
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
    "plan": {
        "category": "category",
        "images": "images",
        "extract": "to extract",
        "score": "to score",
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
_NOTES = frozenset({"reason", "image_reason", "pixel_reason", "cannot be evaluated"})


class _ProgressHandler(logging.Handler):
    """Draws the progress that steps log: one bar a step, of the category at hand."""

    def __init__(self, display: Progress) -> None:
        super().__init__(logging.INFO)
        self._display = display
        self._start: TaskID | None = display.add_task("start", total=None)
        self._bars: dict[str, TaskID] = {}

    def emit(self, record: logging.LogRecord) -> None:
        step = getattr(record, "progress", None)
        if step is None:
            return
        if self._start is not None:
            self._display.remove_task(self._start)
            self._start = None
        if step.step not in self._bars:
            self._bars[step.step] = self._display.add_task(step.step, total=step.total)
        label = f"{step.step:<10} {step.category or ''}"
        self._display.update(self._bars[step.step], description=label, completed=step.done, total=step.total)


@contextmanager
def progress_display(*, enabled: bool) -> Iterator[None]:
    """Show progress on stderr, if that is a terminal."""
    console = Console(stderr=True)
    logger = logging.getLogger("spade")
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not (enabled and console.is_terminal)) as display:
        handler = _ProgressHandler(display)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


def print_report(store: str, run_id: str) -> None:
    """The categories of a run with their averages, the time of each stage, and where the tables are."""
    results = Results(store)
    averages = {row["metric"]: row["mean"] for row in results.rows("summary", run_id)}
    rows = results.rows("categories", run_id)
    footer = {"category": "average", **averages} if len(rows) > 1 else None
    _print(_render(rows, "categories", footer))
    seconds: Counter[str] = Counter()
    for row in results.rows("stages", run_id):
        seconds[row["step"]] += row["seconds"]
    run = results.rows("run", run_id)[0]
    stages = [f"{step} {value:.1f} s" for step, value in seconds.items()]
    print(
        " · ".join([*stages, f"whole run {run['seconds']:.1f} s", f"peak {run['peak_memory_mib']:.0f} MiB"])
    )
    print(f"run {run_id}: tables in {results.folder(run_id)}")
    print(f"show them: spade results --store {shlex.quote(store)} --run {run_id} --table images")


def print_rows(rows: Sequence[Mapping[str, Any]], name: str, style: str) -> None:
    """A table for people (its main columns), or all of it as CSV or JSON."""
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, rows[0].keys() if rows else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _csv_value(value) for key, value in row.items()} for row in rows)
    elif style == "json":
        print(json.dumps(rows, indent=1, default=str, ensure_ascii=False))
    else:
        _print(_render(rows, name))


def print_inspection(manifest: Manifest) -> None:
    """What each category holds, then every file that has something wrong with it."""
    rows = []
    for category in manifest.categories():
        part = manifest.of(category)
        used = [*part.train(), *part.test()]
        defects = Counter(entry.defect for entry in part.test())
        sizes = Counter(f"{entry.width}x{entry.height} {entry.mode}" for entry in used)
        try:
            part.check()
            problem = ""
        except DatasetError as error:
            problem = str(error)
        rows.append(
            {
                "category": category,
                "train": len(part.train()),
                "test": ", ".join(f"{kind} {count}" for kind, count in sorted(defects.items())),
                "without mask": sum(entry.mask_reason is not None for entry in part.test()),
                "set aside": len(part.excluded()),
                "images": ", ".join(f"{size} ({count})" for size, count in sizes.most_common(3)),
                "cannot be evaluated": problem,
            }
        )
    _print(_render(rows, "inspection"))
    for entry in manifest.entries:
        for kind, text in (
            ("set aside", entry.reason),
            ("without mask", entry.mask_reason),
            ("warning", entry.warning),
        ):
            if text is not None:
                print(f"{kind}: {entry.image_id}: {text}")


def print_plan(plan: Plan) -> None:
    """What is left to do in each category and in total, and about how long that takes."""
    rows, total = [asdict(estimate) for estimate in plan.categories], plan.total
    _print(_render(rows, "plan", asdict(total) if len(rows) > 1 else None, decimals=2))
    if total.extract or total.score:
        print(
            f"about {total.minutes:.1f} minutes of computing on {plan.device}, measured with random images; "
            "reading and writing files comes on top"
        )
    else:
        print("nothing to extract, nothing to score: a run takes no time to speak of")


def _render(
    rows: Sequence[Mapping[str, Any]],
    name: str,
    footer: Mapping[str, Any] | None = None,
    *,
    decimals: int = 4,
) -> Table:
    """Rows as a table of the main columns; columns of notes only where there is one."""
    columns = _COLUMNS[name]
    shown = [
        column
        for column in columns
        if column not in _NOTES or any(row.get(column) not in (None, "") for row in rows)
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
    return json.dumps(value) if isinstance(value, list | dict) else value


def _print(table: Table) -> None:
    """Print at the terminal's width; elsewhere as wide as the table needs."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)
