"""Writes the pages that are made from schemas and metrics: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

from storage.results.documentation import metrics_page, tables_page
from storage.results.metrics import METRICS
from storage.results.schemas import TABLES
from tasks.run.tables import RUN

ALL_TABLES = TABLES | {"runs": (RUN, TABLES["runs"][1])}


def pages() -> dict[str, str]:
    """The pages by the names of their files."""
    return {"tables.md": tables_page(ALL_TABLES), "metrics.md": metrics_page(METRICS)}


if __name__ == "__main__":
    for name, page in pages().items():
        (Path(sys.argv[1]) / name).write_text(page, encoding="utf-8")
