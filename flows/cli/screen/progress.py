"""Progress of the steps of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    pass


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
