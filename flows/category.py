"""What the flows have in common in working on one category."""

from __future__ import annotations

from storage.errors import DatasetError, StoreError
from tasks.core.config import ConfigurationError
from tasks.job import Job, Stage
from tasks.methods.index import index
from tasks.progress import LOGGER
from tasks.run.extract import extract


def extract_and_index(job: Job, category: str, excluded: dict[str, str]) -> list[Stage]:
    """Features of a category's images, and the index of its training images.

    `excluded` takes up why images had to be set aside, also where that leaves too few.

    Raises:
        DatasetError: a kind of images is missing.
    """
    manifest = job.manifest().of(category)
    manifest.check()
    extraction = extract(job, category)
    excluded |= extraction.excluded
    manifest.exclude(excluded).check()
    return [extraction.stage, index(job, category, excluded)]


def failure_reason(error: Exception, category: str) -> str:
    """Log what stopped a category and say it; ConfigurationError concerns every category, and is raised."""
    if isinstance(error, ConfigurationError):
        raise error
    if isinstance(error, DatasetError | StoreError):
        LOGGER.error("category %s failed: %s", category, error)
        return str(error)
    LOGGER.error("category %s failed", category, exc_info=error)
    return f"{type(error).__name__}: {error}"
