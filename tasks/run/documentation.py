"""Writes the pages that are made from schemas and metrics: `make docs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from storage.results.documentation import metrics_page, tables_page
from storage.results.metrics import METRICS
from storage.results.schemas import TABLES
from tasks.run.conventions import CONVENTIONS
from tasks.run.tables import RUN

ALL_TABLES = TABLES | {"runs": (RUN, TABLES["runs"][1])}


_CONVENTIONS_HEAD = """
## As other code computes them

`spade results --convention NAME` shows these beside ours; where nothing is said, all is as above.
"""


def pages() -> dict[str, str]:
    """The pages by the names of their files."""
    metrics = "\n".join([metrics_page(METRICS) + _CONVENTIONS_HEAD, *_conventions()]) + "\n"
    return {"tables.md": tables_page(ALL_TABLES), "metrics.md": metrics}


def _conventions() -> Iterator[str]:
    for name, convention in CONVENTIONS.items():
        metrics = ", ".join(f"`{metric}`" for metric in convention.metrics)
        yield f"- `{name}`, of {metrics}: {convention.meaning}. Source: {convention.source}."


if __name__ == "__main__":
    for name, page in pages().items():
        (Path(sys.argv[1]) / name).write_text(page, encoding="utf-8")
