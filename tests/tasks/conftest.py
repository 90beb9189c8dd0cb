"""A run of which the features are in the store, and nothing else: what methods and metrics begin with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import write_category

from storage.datasets.dataset import Dataset
from tasks.core.config import Configuration
from tasks.job import Job, Part, Request
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare


@pytest.fixture(scope="session")
def extracted(settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A run on a category of 6 training and 5 test images, not to be changed."""
    folder = tmp_path_factory.mktemp("extracted")
    write_category(folder / "tiny", "nut", train=6, seed=7)
    job = prepare.fn(Request(Dataset.at(folder / "tiny"), str(folder / "store"), settings(), run_id="run"))
    ingest.fn(job)
    extract.fn(job.part("nut"))
    return job


@pytest.fixture
def part(extracted: Job, tmp_path: Path) -> Part:
    """The category, in a store of the test's own."""
    shutil.copytree(extracted.store, tmp_path / "store")
    return replace(extracted, store=str(tmp_path / "store")).part("nut")
