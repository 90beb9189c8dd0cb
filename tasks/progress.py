"""Progress of a step as log records, which a screen can draw and a server can keep."""

from __future__ import annotations

import logging
from dataclasses import dataclass

LOGGER = logging.getLogger("spade")
LOGGER.setLevel(logging.INFO)


@dataclass(frozen=True)
class Progress:
    """How much of one step of one category is done; `category` is None for a step of the whole run."""

    step: str
    category: str | None
    done: int
    total: int


def report(step: str, category: str | None, done: int, total: int, detail: str = "") -> None:
    """Log that `done` of `total` items of a step are done."""
    LOGGER.info(
        "%s %s: %d of %d%s",
        step,
        category or "dataset",
        done,
        total,
        f", {detail}" if detail else "",
        extra={"progress": Progress(step, category, done, total)},
    )


def report_files(done: int, total: int) -> None:
    """Log now and then how many files of a dataset have been read, a hundred times in all at most."""
    if done % max(50, total // 100) == 0 or done == total:
        report("ingest", None, done, total)
