"""The paper's protocol: the runs that its tables need, over one set of features, beside its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import flow

from flows.evaluate import IncompleteRunError
from flows.runners import task_runner
from flows.sweep import evaluate_points
from storage.datasets.dataset import Dataset, find_categories
from storage.datasets.layouts.frames import Frames
from storage.errors import DatasetError
from storage.results.reader import Results
from storage.results.schemas import REPRODUCTION
from storage.store.store import DEFAULT_STORE
from storage.store.tables import table_bytes, table_of
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB, Configuration
from tasks.core.grid import Point
from tasks.core.methods.spade import Spade
from tasks.core.settings import make
from tasks.job import Job, Request
from tasks.paper.figures import CAMPUS, IMAGES
from tasks.paper.reproduction import PublishedPoint, paper_figures, points_needed, reproduction_rows
from tasks.progress import LOGGER
from tasks.run.points import points_of
from tasks.run.prepare import prepare


@flow(name="reproduce", task_runner=task_runner())
def reproduce(
    root: str | Dataset,
    store: str = DEFAULT_STORE,
    configuration: Configuration = Configuration(),  # noqa: B008 (frozen)
    categories: Sequence[str] = (),
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
    spade: Mapping[str, Any] | None = None,
) -> str:
    """Evaluate what the paper's tables need, and join it with their figures; the sweep's id is returned.

    Of MVTec AD, tables 1, 2, 3, 6 and 7; of frames in the layout of ShanghaiTech Campus, tables 4 and 5. What
    varies from table to table is the paper's: protocol, levels, K and gallery; all else is `configuration`'s,
    and that of the settings of SPADE in `spade`.
    The same call with the same `run_id` continues an interrupted reproduction.

    Raises:
        DatasetError: the dataset has no category of the paper.
        IncompleteRunError: a category failed; the table says so, and holds the others' figures.
    """
    dataset = (root if isinstance(root, Dataset) else Dataset.at(root)).recognised()
    campus = isinstance(dataset.layout, Frames)
    wanted = _categories(dataset, categories, campus=campus)
    published = paper_figures(campus=campus)
    base = Point(configuration, (make(Spade, Spade.name, spade or {}),))
    needed = points_needed(published, base)
    job = prepare(
        Request(
            dataset,
            store,
            needed[0].configuration,
            needed[0].methods,
            wanted,
            run_id,
            device,
            batch_size,
            memory_gib,
        )
    )
    incomplete = None
    try:
        evaluate_points(job, needed)
    except IncompleteRunError as error:
        incomplete = error
    points = dict(zip(needed, _published(job, needed, campus=campus), strict=True))
    rows = reproduction_rows(published, base, points, find_categories(dataset))
    opened = job.open_store()
    opened.write(opened.reproduction(job.run_id), table_bytes(table_of(rows, REPRODUCTION)))
    if incomplete is not None:
        raise incomplete
    return job.run_id


def _categories(dataset: Dataset, wanted: Sequence[str], *, campus: bool) -> tuple[str, ...]:
    """Those of the categories, or of those wanted, that the paper has figures for."""
    found = find_categories(dataset, wanted)
    known = tuple(name for name in found if campus or name in IMAGES)
    if not known:
        raise DatasetError(
            f"the paper has no figures for {', '.join(found)} in {dataset.root}: name a folder with "
            f"categories of MVTec AD ({', '.join(IMAGES)}), or with frames as of ShanghaiTech Campus"
        )
    if len(known) < len(found):
        LOGGER.info("the paper has no figures for %s: left out", ", ".join(sorted({*found} - {*known})))
    return known


def _published(job: Job, needed: Sequence[Point], *, campus: bool) -> list[PublishedPoint]:
    """The runs as published; the category of frames is called as the paper's."""
    results = Results(job.store)
    found = []
    for point in points_of(job, needed):
        rows = results.rows("categories", point.run_id)
        by_name = {CAMPUS if campus else row["category"]: row for row in rows}
        found.append(PublishedPoint(results.rows("run", point.run_id)[0], by_name))
    return found
