"""A run's report, written: one folder, category by category, the first page last."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from storage.results.report_folder import ReportFolder
from storage.store.location import Location
from tasks.report.category import write_chapter
from tasks.report.pages import Pages
from tasks.report.references import previous, references, warnings
from tasks.report.source import Source
from tasks.report.views import stage_table


def write_report(store: str, run: str = "latest", output: str | None = None) -> Location:
    """Write the pages of a published run to `output`, or into its store; the page to open is returned.

    Raises:
        StoreError: no such run, or a folder that cannot be written.
    """
    source = Source(store, run)
    folder = ReportFolder(output or source.store.report(source.run_id), source.run_id)
    pages = Pages(source, folder)
    folder.write("style.css", pages.style())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chapters = [
            write_chapter(source, folder, pages, row, number, pool)
            for number, row in enumerate(source.categories, start=1)
        ]
    found = references(source)
    pages.write(
        "index.html",
        "overview",
        chapters=chapters,
        previous=previous(source),
        references=found,
        warnings=warnings(source, found),
        stages=stage_table(source.stages),
        set_aside=source.manifest.excluded(),
    )
    return folder.index
