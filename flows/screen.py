"""What a user sees: progress while a run works, and tables."""

from __future__ import annotations

import csv
import logging
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from json import dumps
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
from storage.location import Location
from storage.results import Results
from storage.schemas import COMPARED, SCORING_SETTINGS, SPADE
from storage.sweeps import averages

if TYPE_CHECKING:
    from flows.registered import Entry
    from tasks.backbones import Installed
    from tasks.plan import Plan

_NAMES = 20  # of networks without weights

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
    "entries": {
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
_SHOWN_NEIGHBORS = 3
_NOTES = frozenset({"reason", "image_reason", "pixel_reason", "cannot be evaluated", "note"})
_AXES = frozenset({"category", *SCORING_SETTINGS})
_SEVERAL = frozenset(
    {"categories", "summary", "images", "comparisons", "reproduction"}
)  # name the method if there are several


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
    averages: dict[str, dict[str, Any]] = {}
    for row in results.rows("summary", run_id):
        averages.setdefault(row.get("method") or SPADE, {})[row["metric"]] = row["mean"]
    means = [{"category": "average", "method": method, **found} for method, found in averages.items()]
    rows = results.rows("categories", run_id)
    several = len(rows) > len(means)
    if len(means) > 1:
        _print(_render([*rows, *(means if several else [])], "categories"))
        print(f"which is best, and at what cost: spade methods --store {shlex.quote(store)} {run_id}")
    else:
        _print(_render(rows, "categories", means[0] if several else None))
    seconds: Counter[str] = Counter()
    for row in results.rows("stages", run_id):
        seconds[row["step"]] += row["seconds"]
    run = results.rows("run", run_id)[0]
    stages = [f"{step} {value:.1f} s" for step, value in seconds.items()]
    print(
        " · ".join([*stages, f"whole run {run['seconds']:.1f} s", f"peak {run['peak_memory_mib']:.0f} MiB"])
    )
    compared = [row for row in results.rows("comparisons", run_id) if row["reference_run"] is not None]
    if compared:
        counted = Counter(row["verdict"] for row in compared)
        verdicts = ", ".join(f"{count} {name}" for name, count in counted.most_common())
        print(f"against the last good run: {verdicts}")
    print(f"run {run_id}: tables in {results.folder(run_id)}")
    print(f"show them: spade results --store {shlex.quote(store)} --run {run_id} --table images")
    print(f"look at it: spade report {run_id} --store {shlex.quote(store)} --open")


def print_page(page: Location) -> None:
    """Where a report is to be opened."""
    print(f"report: {page}")


def print_methods(
    standings: Sequence[Mapping[str, Any]],
    pairs: Sequence[Mapping[str, Any]],
    ranks: Sequence[Mapping[str, Any]],
) -> None:
    """How methods stand, which of them differ by more than chance, and their ranks over categories."""
    rows = [dict(row) | {metric: _with_interval(row, metric) for metric in COMPARED} for row in standings]
    _print(_render(rows, "standings", decimals=1))
    differ = [row for row in pairs if row["verdict"] in ("better", "worse")]
    told = [row for row in pairs if row["verdict"] != "not comparable"]
    print(
        f"{len(differ)} of {len(told)} paired differences exclude 0, each at 95 %, "
        "not corrected for their number:"
    )
    _print(_render(differ, "method_comparisons"))
    if ranks:
        _print(_render(ranks, "ranks"))


def _with_interval(row: Mapping[str, Any], metric: str) -> str:
    value, low, high = (row[f"{metric}{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return ""
    return f"{value:.4f}" if low is None else f"{value:.4f} ({low:.3f} to {high:.3f})"


def print_sweep(store: str, sweep: str, style: str) -> None:
    """The points of a sweep, averaged over the categories; for people, also how to read on."""
    print_rows(averages(Results(store).rows("sweep", sweep)), "sweep", style)
    if style == "table":
        print(f"sweep {sweep}: a row a point, averages over categories; each point is a run")
        command = f"spade results --store {shlex.quote(store)} --run {sweep} --table sweep --format csv"
        print(f"by category: {command}")


def print_entries(store: str, entries: Sequence[Entry]) -> None:
    """The averages of each registered dataset and configuration, and how it compares; or why it failed."""
    if not entries:
        print("another nightly works on this store, or nothing is registered: nothing was done")
    results = Results(store)
    rows = []
    for entry in entries:
        row = {name: value for name, value in asdict(entry).items() if value}
        if entry.run is not None:
            row |= {each["metric"]: each["mean"] for each in results.rows("summary", entry.run)}
            row |= {"seconds": results.rows("run", entry.run)[0]["seconds"]}
        rows.append(row)
    _print(_render(rows, "entries"))


def print_changes(store: str, entries: Sequence[Entry]) -> None:
    """What changed in a dataset, once, and what each of its configurations computed for it."""
    results = Results(store)
    whole = [entry.run for entry in entries if entry.run is not None]
    if whole:
        changed = results.rows("changes", whole[0])
        counted = Counter(f"{row['split']} {row['kind']}" for row in changed)
        print(", ".join(f"{count} {what}" for what, count in counted.items()) or "no image changed")
        if changed:
            _print(_render(changed, "changes"))
        for run in whole:
            computed: Counter[str] = Counter()
            for row in results.rows("stages", run):
                computed[row["step"]] += row["computed"]
            done = ", ".join(f"{step} {count}" for step, count in computed.items() if count)
            print(f"run {run}: computed anew: {done or 'nothing'}")
    print_entries(store, entries)


def print_backbones(here: Sequence[Installed], others: Sequence[str]) -> None:
    """The networks whose weights are here, the names of the others if they are few, how to use these."""
    rows = [
        {
            "name": each.name,
            "library": each.traits.library,
            "levels": ",".join(str(stride) for stride, _ in each.traits.grids),
            "weights": str(each.weights),
        }
        for each in here
    ]
    _print(_render(rows, "backbones"))
    names = ", ".join(others) if len(others) <= _NAMES else "--filter TEXT names those that contain it"
    print(f"without weights here: {len(others)}" + (f": {names}" if others else ""))
    print("--backbone NAME --weights FILE uses one with the state dict in a file (.pth or .safetensors);")
    print("--backbone NAME alone downloads its published weights once, and works without a network then.")


def print_rows(rows: Sequence[Mapping[str, Any]], name: str, style: str) -> None:
    """A table for people (its main columns), or all of it as CSV or JSON."""
    if style == "csv":
        writer = csv.DictWriter(sys.stdout, rows[0].keys() if rows else (), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _csv_value(value) for key, value in row.items()} for row in rows)
    elif style == "json":
        print(dumps(rows, indent=1, default=str, ensure_ascii=False))
    else:
        _print(_render(rows, name))


def print_scores(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    """New images with their scores and verdicts, and what the threshold is; or all of it as one document."""
    if json:
        print(dumps({**about, "images": rows}, indent=1, ensure_ascii=False))
        return
    shown = [
        {
            **row,
            "nearest": ", ".join(
                f"{neighbor['image_id']} ({neighbor['squared_distance']:.4g})"
                for neighbor in row.get("neighbors", ())[:_SHOWN_NEIGHBORS]
            ),
        }
        for row in rows
    ]
    _print(_render(shown, "scores"))
    for name in ("threshold", "mask_threshold"):
        if about[name] is not None:
            print(f"{name.replace('_', ' of the ')}: {_threshold_text(about[name])}")
    for row in rows:
        if "heat_map" in row:
            print(f"{row['image']}: {row['heat_map']}{', ' + row['mask'] if 'mask' in row else ''}")


def _threshold_text(threshold: Mapping[str, Any]) -> str:
    if threshold["value"] is None:
        return f"none, because {threshold['reason']}"
    return (
        f"{threshold['value']:.6g} by rule {threshold['rule']}, at a false-positive rate of "
        f"{threshold['rate']:g} on {threshold['images']} held-out normal images"
    )


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


def _print(table: Table) -> None:
    """Print at the terminal's width; elsewhere as wide as the table needs."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)
