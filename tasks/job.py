"""What the steps of one run share: references and settings, small enough for Prefect to log and hash."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from storage.datasets import Manifest
from storage.layout import Store
from storage.tables import read_table
from tasks.core.config import Configuration


@dataclass(frozen=True)
class Job:
    """One run on one dataset.

    `weights_file` is where the weights with digest `weights_sha256` were found; `feature_key` is the digest
    of all that determines an image's features. `memory_gib` bounds the pyramids kept in memory while
    scoring. `started` is an ISO time in UTC.
    """

    root: str
    store: str
    run_id: str
    configuration: Configuration
    weights_file: str
    weights_sha256: str
    feature_key: str
    device: str
    batch_size: int
    memory_gib: float
    started: str

    def open_store(self) -> Store:
        """The run's store."""
        return Store.open(self.store)

    def manifest(self) -> Manifest:
        """The run's manifest, as `ingest` wrote it."""
        return Manifest.from_table(read_table(self.open_store().job(self.run_id)))

    @property
    def dataset(self) -> str:
        """Name of the dataset: its folder's."""
        return Path(self.root).name


@dataclass(frozen=True)
class Stage:
    """One finished step of one category: seconds, and how many of its items were computed now."""

    step: str
    category: str | None
    seconds: float
    computed: int
    total: int


@dataclass(frozen=True)
class Extraction:
    """What `extract` did; `excluded` gives the reason for each image that it had to set aside."""

    stage: Stage
    excluded: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a category ended: why it failed if it did, its row of the categories table, what was set aside."""

    category: str
    row: dict[str, object]
    reason: str | None = None
    excluded: dict[str, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
