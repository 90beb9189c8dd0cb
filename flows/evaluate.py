"""The main job: a dataset, its categories and one configuration become result tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow
from prefect.context import FlowRunContext

from flows.category import evaluate_category
from flows.runners import is_wide, task_runner
from flows.shares import submit_shares
from storage.datasets.dataset import Dataset
from storage.store.store import DEFAULT_STORE
from storage.store.under_way import under_way
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB, Configuration
from tasks.core.corruptions import corruptions as chosen_corruptions
from tasks.core.methods.registry import parse_methods
from tasks.job import Job, Outcome, Request
from tasks.progress import LOGGER
from tasks.run.artifacts import publish_summary
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare
from tasks.run.publish import begin, is_published, publish
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
    gate: Mapping[str, float] | None = None,
    methods: Sequence[str] = ("spade",),
    verify: bool = False,
    corruptions: Sequence[str] = (),
    severities: Sequence[int] = (),
) -> str:
    """Evaluate the categories of a dataset, or those named, and publish a run; its id is returned.

    `root` is a folder or a bucket's URL in the layout of MVTec AD, or a dataset of any layout. Each step
    computes only what the store does not have, so an interrupted run is continued by the same call.
    The run is compared with the last good one, by the metrics of the `gate`: each is worse only if it lost
    more than the tolerance that stands there. Without a gate these are `default_gate`.
    `methods` are texts such as "spade(k_image=5)": all score from the same features, and are compared.
    To `verify` is to read every file, also those that seem unchanged since the last run.
    With `corruptions` (`tasks/core/corruptions.py`), in these or all `severities`, it is also measured what
    they cost at the operating point; it is another run than one without.

    Categories are worked on one after the other by default; by a runner of several workers
    (`flows/runners.py`) side by side, in shares of a few images.

    Raises:
        IncompleteRunError: a category failed; the run holds its reason and the others' results.
    """
    dataset = root if isinstance(root, Dataset) else Dataset.at(root).recognised()
    job = prepare(
        Request(
            dataset,
            store,
            configuration,
            parse_methods(methods),
            tuple(categories),
            run_id,
            device,
            batch_size,
            memory_gib,
            chosen_corruptions(corruptions, severities) if corruptions else (),
        )
    )
    with under_way(job.open_store(), [job.run_id], dataset.name):
        ingested = ingest(job, verify=verify)
        if is_published(job):
            LOGGER.info("run %s is published already", job.run_id)
            return job.run_id
        begin(job)
        names = job.manifest().categories()
        context = FlowRunContext.get()
        if context is not None and is_wide(context.task_runner):
            parts = submit_shares(job, names)
        else:
            parts = [one_category.submit(job, category) for category in names]
        outcomes = [part.result() for part in parts]
        publish(job, outcomes, ingested, gate)
    publish_summary(job)
    failed = {outcome.category: outcome.reason for outcome in outcomes if outcome.reason is not None}
    if failed:
        raise IncompleteRunError(job.run_id, failed)
    return job.run_id


@step
def one_category(job: Job, category: str) -> Outcome:
    """One category from images to metrics; what stops it is its result, and stops no other."""
    return evaluate_category([job], category)[0]
