"""The main job: a dataset, its categories and one configuration become result tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import flow

from storage.errors import DatasetError, StoreError
from storage.layout import DEFAULT_STORE
from tasks.core.config import DEFAULT_MEMORY_GIB, Configuration, ConfigurationError
from tasks.extract import extract
from tasks.index import index
from tasks.ingest import ingest, prepare
from tasks.job import Job, Outcome
from tasks.progress import LOGGER
from tasks.score import score
from tasks.summarize import failure, is_published, publish, summarize


class IncompleteRunError(RuntimeError):
    """A run was published, but some of its categories failed."""

    def __init__(self, run_id: str, failed: Mapping[str, str]) -> None:
        """Name the run, and the reason of each category that failed."""
        self.run_id = run_id
        super().__init__("; ".join(f"{category}: {reason}" for category, reason in failed.items()))


@flow(name="evaluate")
def evaluate(
    root: str,
    store: str = DEFAULT_STORE,
    configuration: Configuration = Configuration(),  # noqa: B008 (frozen)
    categories: Sequence[str] = (),
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = 16,
    memory_gib: float = DEFAULT_MEMORY_GIB,
) -> str:
    """Evaluate the categories under `root`, or those named, and publish a run; its id is returned.

    Each step computes only what the store does not have, so an interrupted run is continued by the same call.

    Raises:
        IncompleteRunError: a category failed; the run holds its reason and the others' results.
    """
    job = prepare(root, store, configuration, run_id, device, batch_size, memory_gib)
    ingested = ingest(job, categories)
    if is_published(job):
        LOGGER.info("run %s is published already", job.run_id)
        return job.run_id
    outcomes = [_category(job, category) for category in job.manifest().categories()]
    publish(job, outcomes, ingested)
    failed = {outcome.category: outcome.reason for outcome in outcomes if outcome.reason is not None}
    if failed:
        raise IncompleteRunError(job.run_id, failed)
    return job.run_id


def _category(job: Job, category: str) -> Outcome:
    """One category from images to metrics; what stops it is its result, and stops no other."""
    try:
        manifest = job.manifest().of(category)
        manifest.check()
        extraction = extract(job, category)
        excluded = extraction.excluded
        manifest.exclude(excluded).check()
        indexed = index(job, category, excluded)
        scored = score(job, category, excluded)
        return summarize(job, category, excluded, [extraction.stage, indexed, scored])
    except ConfigurationError:  # concerns every category
        raise
    except (DatasetError, StoreError) as error:
        LOGGER.error("category %s failed: %s", category, error)
        return failure(job, category, str(error))
    except Exception as error:
        LOGGER.exception("category %s failed", category)
        return failure(job, category, f"{type(error).__name__}: {error}")
