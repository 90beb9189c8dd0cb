"""A grid of settings over one set of features: each point becomes a run, with nothing computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.category import extract_and_index, failure_reason
from flows.evaluate import IncompleteRunError
from storage.datasets.dataset import Dataset
from storage.store.store import DEFAULT_STORE
from tasks.core.config import DEFAULT_MEMORY_GIB, Configuration
from tasks.core.grid import grid
from tasks.job import DEFAULT_BATCH_SIZE, Job, Outcome, Request, Stage
from tasks.progress import LOGGER
from tasks.run.ingest import prepare
from tasks.run.points import ingest_once, points_of, score_points
from tasks.run.publish import begin, is_published, publish
from tasks.run.summarize import failure, summarize


@flow(name="sweep")
def sweep(
    root: str | Dataset,
    axes: Mapping[str, Sequence[Any]],
    store: str = DEFAULT_STORE,
    configuration: Configuration = Configuration(),  # noqa: B008 (frozen)
    categories: Sequence[str] = (),
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
) -> str:
    """Evaluate every point of the grid that `axes` span around `configuration`, as `tasks.core.grid` says.

    Each point is published as a run of its own, equal to that of `evaluate` with its settings; what either of
    them has scored, the other finds in the store. The sweep's id, which its runs name, is returned.

    Raises:
        IncompleteRunError: a category failed; the runs hold its reason and the others' results.
    """
    configurations = grid(configuration, axes)
    dataset = root if isinstance(root, Dataset) else Dataset.at(root)
    job = prepare(
        Request(dataset, store, configuration, tuple(categories), run_id, device, batch_size, memory_gib)
    )
    return evaluate_points(job, configurations)


def evaluate_points(job: Job, configurations: Sequence[Configuration]) -> str:
    """Evaluate the job with each configuration, all of the job's features, and publish them as its sweep.

    Raises:
        IncompleteRunError: a category failed; the runs hold its reason and the others' results.
    """
    points = points_of(job, configurations)
    ingested = ingest_once(points)
    points = [point for point in points if not is_published(point)]
    if not points:
        LOGGER.info("sweep %s is published already", job.run_id)
        return job.run_id
    for point in points:
        begin(point)
    outcomes = [_category(points, category) for category in points[0].manifest().categories()]
    failed: dict[str, str] = {}
    for number, point in enumerate(points):
        of_point = [of_category[number] for of_category in outcomes]
        publish(point, of_point, _of_point(ingested, number))
        failed |= {outcome.category: outcome.reason for outcome in of_point if outcome.reason is not None}
    if failed:
        raise IncompleteRunError(job.run_id, failed)
    return job.run_id


def _category(points: Sequence[Job], category: str) -> list[Outcome]:
    """One category from images to the metrics of each point; what stops it stops no other category."""
    excluded: dict[str, str] = {}
    try:
        shared = extract_and_index(points[0], category, excluded)
        scored = score_points(points, category, excluded)
        return [
            summarize(point, category, excluded, [*(_of_point(each, number) for each in shared), stage])
            for number, (point, stage) in enumerate(zip(points, scored, strict=True))
        ]
    except Exception as error:
        reason = failure_reason(error, category)
        return [failure(point, category, reason, excluded) for point in points]


def _of_point(stage: Stage, number: int) -> Stage:
    """A step that all points share, as if they were evaluated one after the other: the first did it."""
    return stage if number == 0 else replace(stage, seconds=0.0, computed=0)
