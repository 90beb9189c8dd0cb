"""A grid of settings over one set of features: each point becomes a run, with nothing computed twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.category import evaluate_category
from flows.evaluate import IncompleteRunError
from storage.datasets.dataset import Dataset
from storage.store.store import DEFAULT_STORE
from storage.store.under_way import under_way
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB, Configuration
from tasks.core.grid import Point, grid
from tasks.core.methods.registry import parse_methods
from tasks.job import Job, Outcome, Request
from tasks.progress import LOGGER
from tasks.run.points import ingest_once, points_of
from tasks.run.prepare import prepare
from tasks.run.publish import begin, is_published, publish
from tasks.step import step


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
    methods: Sequence[str] = ("spade",),
) -> str:
    """Evaluate every point of the grid that `axes` span around `configuration` and `methods` (`grid.py`).

    Each point is published as a run of its own, equal to that of `evaluate` with its settings; what either of
    them has scored, the other finds in the store. The sweep's id, which its runs name, is returned.

    Raises:
        IncompleteRunError: a category failed; the runs hold its reason and the others' results.
    """
    base = Point(configuration, parse_methods(methods))
    points = grid(base, axes)
    dataset = root if isinstance(root, Dataset) else Dataset.at(root).recognised()
    job = prepare(
        Request(
            dataset,
            store,
            configuration,
            base.methods,
            tuple(categories),
            run_id,
            device,
            batch_size,
            memory_gib,
        )
    )
    return evaluate_points(job, points)


def evaluate_points(job: Job, of_grid: Sequence[Point]) -> str:
    """Evaluate the job at each point, all with the job's features, and publish them as its sweep.

    Raises:
        IncompleteRunError: a category failed; the runs hold its reason and the others' results.
    """
    points = points_of(job, of_grid)
    runs = [point.run_id for point in points]
    with under_way(job.open_store(), runs, job.dataset.name):
        failed = _evaluate(job, points)
    if failed:
        raise IncompleteRunError(job.run_id, failed)
    return job.run_id


def _evaluate(job: Job, points: Sequence[Job]) -> dict[str, str]:
    """Publish the points that are not yet; by category why it failed."""
    ingested = ingest_once(points)
    points = [point for point in points if not is_published(point)]
    if not points:
        LOGGER.info("sweep %s is published already", job.run_id)
        return {}
    for point in points:
        begin(point)
    outcomes = [one_category_of_all(points, category) for category in points[0].manifest().categories()]
    failed: dict[str, str] = {}
    for number, point in enumerate(points):
        of_point = [of_category[number] for of_category in outcomes]
        shared = ingested if number == 0 else replace(ingested, seconds=0.0, computed=0)
        publish(point, of_point, shared)
        failed |= {outcome.category: outcome.reason for outcome in of_point if outcome.reason is not None}
    return failed


@step
def one_category_of_all(points: Sequence[Job], category: str) -> list[Outcome]:
    """One category at each point; what stops it is its result, and stops no other."""
    return evaluate_category(points, category)
