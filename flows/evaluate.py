"""The main job: a dataset, its categories and one configuration become result tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow

from flows.category import extract_and_index, failure_reason
from flows.runners import task_runner
from storage.datasets.dataset import Dataset
from storage.results.schemas import SPADE
from storage.store.store import DEFAULT_STORE
from tasks.core.config import DEFAULT_MEMORY_GIB, DEFAULT_TOLERANCE, Configuration
from tasks.job import DEFAULT_BATCH_SIZE, Job, Outcome, Request
from tasks.methods.by_name import score_method
from tasks.methods.spade import score
from tasks.progress import LOGGER
from tasks.run.artifacts import publish_summary
from tasks.run.ingest import ingest, prepare
from tasks.run.publish import begin, is_published, publish
from tasks.run.summarize import failure, summarize
from tasks.step import step


class IncompleteRunError(RuntimeError):
    """A run was published, but some of its categories failed."""

    def __init__(self, run_id: str, failed: Mapping[str, str]) -> None:
        """Name the run, and the reason of each category that failed."""
        self.run_id = run_id
        super().__init__("; ".join(f"{category}: {reason}" for category, reason in failed.items()))


@flow(name="evaluate", task_runner=task_runner())
def evaluate(
    root: str | Dataset,
    store: str = DEFAULT_STORE,
    configuration: Configuration = Configuration(),  # noqa: B008 (frozen)
    categories: Sequence[str] = (),
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
    tolerance: float = DEFAULT_TOLERANCE,
    methods: Sequence[str] = (SPADE,),
) -> str:
    """Evaluate the categories of a dataset, or those named, and publish a run; its id is returned.

    `root` is a folder or a bucket's URL in the layout of MVTec AD, or a dataset of any layout. Each step
    computes only what the store does not have, so an interrupted run is continued by the same call.
    The run is compared with the last good one; a metric is worse only if it lost more than `tolerance`.
    `methods` are compared on the same features: "spade", which `configuration` sets, and those of
    `tasks.core.methods`, each with settings of its own.

    Categories are worked on side by side as far as the flow's task runner does: one after the other by
    default (`flows/runners.py`).

    Raises:
        IncompleteRunError: a category failed; the run holds its reason and the others' results.
    """
    dataset = root if isinstance(root, Dataset) else Dataset.at(root)
    job = prepare(
        Request(
            dataset,
            store,
            configuration,
            tuple(categories),
            run_id,
            device,
            batch_size,
            memory_gib,
            tuple(methods),
        )
    )
    ingested = ingest(job)
    if is_published(job):
        LOGGER.info("run %s is published already", job.run_id)
        return job.run_id
    begin(job)
    parts = [evaluate_category.submit(job, category) for category in job.manifest().categories()]
    outcomes = [part.result() for part in parts]
    publish(job, outcomes, ingested, tolerance)
    publish_summary(job)
    failed = {outcome.category: outcome.reason for outcome in outcomes if outcome.reason is not None}
    if failed:
        raise IncompleteRunError(job.run_id, failed)
    return job.run_id


@step
def evaluate_category(job: Job, category: str) -> Outcome:
    """One category from images to metrics; what stops it is its result, and stops no other."""
    excluded: dict[str, str] = {}
    try:
        shared = extract_and_index(job, category, excluded)
    except Exception as error:
        return failure(job, category, failure_reason(error, category), excluded, job.methods)
    outcomes = [_evaluate_method(job, category, excluded, method) for method in job.methods]
    reasons = [outcome.reason for outcome in outcomes if outcome.reason is not None]
    return Outcome(
        category,
        [row for outcome in outcomes for row in outcome.rows],
        "; ".join(dict.fromkeys(reasons)) or None,
        excluded,
        [*shared, *(stage for outcome in outcomes for stage in outcome.stages)],
    )


def _evaluate_method(job: Job, category: str, excluded: Mapping[str, str], method: str) -> Outcome:
    """One method from features to metrics; what stops it is its result, and stops no other."""
    try:
        if method == SPADE:
            scored = [score(job, category, excluded)]
        else:
            scored = score_method(job, category, excluded, method)
        return summarize(job, category, excluded, scored, method)
    except Exception as error:
        return failure(job, category, failure_reason(error, category), excluded, [method])
