"""A run's report, written: one folder, category by category, the first page last."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from storage.results.report_folder import ReportFolder
from storage.store.location import Location
from tasks.core.corruptions import KINDS
from tasks.report.category import write_chapter
from tasks.report.overview import drift, facts, method_table, reasons, stage_table
from tasks.report.pages import Pages
from tasks.report.references import previous, references, warnings
from tasks.report.robustness import robustness
from tasks.report.source import Source


def write_report(
    store: str, run: str = "latest", output: str | None = None, method: str | None = None
) -> Location:
    """Write the pages of one method of a run, its first by default; the page to open is returned.

    They go to `output`, or into the store, where those of another method are overwritten.

    Raises:
        StoreError: no such run, it was interrupted, it was not scored by the method, or the folder cannot be
            written.
        ConfigurationError: a text that is no method's.
    """
    source = Source(store, run, method)
    folder = ReportFolder(output or source.store.report(source.run_id), source.run_id)
    pages = Pages(source, folder)
    folder.write("style.css", pages.style())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chapters = [
            write_chapter(source, folder, pages, row, number, pool)
            for number, row in enumerate(source.categories, start=1)
        ]
    found = references(source)
    corrupted = robustness(source)
    if corrupted:
        pages.write("robustness.html", "robustness", sections=corrupted, kinds=KINDS)
    pages.write(
        "index.html",
        "overview",
        chapters=chapters,
        reasons={row["category"]: reasons(row, source.metrics) for row in source.categories},
        methods=method_table(source),
        drift=drift(source),
        corrupted=corrupted,
        previous=previous(source),
        references=found,
        warnings=warnings(source, found),
        facts=facts(source),
        stages=stage_table(source.stages),
        set_aside=source.manifest.excluded(),
    )
    return folder.index
