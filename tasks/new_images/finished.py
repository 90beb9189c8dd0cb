"""A method of a finished run, ready to be asked about new images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from storage.datasets.dataset import Dataset
from storage.datasets.manifest import Manifest
from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.tables import read_table
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB
from tasks.core.errors import ConfigurationError
from tasks.core.methods.registry import parse_method
from tasks.job import Job, Part
from tasks.methods.by_name import scoring_of
from tasks.methods.scoring import Scoring
from tasks.run.tables import configuration_of, methods_of


@dataclass(frozen=True, eq=False)
class Finished:
    """One category of a finished run, by one of its methods.

    Attributes:
        record: the row of the run's table.
        scoring: the method on the category.
    """

    record: Mapping[str, Any]
    scoring: Scoring

    @classmethod
    def of(
        cls,
        store: str,
        run: str = "latest",
        category: str | None = None,
        method: str | None = None,
        device: str = "cpu",
    ) -> Finished:
        """Of a run's category, which may be left out where the run has one; its first method by default.

        Raises:
            ConfigurationError: no such category, or one of several must be named.
            StoreError: no such run or method, the run was interrupted, the category failed in it, or its
                features are gone.
        """
        results = Results(store)
        record = results.rows("run", run)[0]
        label = results.method(record["run"], method)
        rows = {row["category"]: row for row in results.rows("categories", record["run"], label)}
        name = _chosen(record["run"], list(rows), category)
        if rows[name]["status"] != "ok":
            raise StoreError(
                f"category {name} failed in run {record['run']} ({rows[name]['reason']}): "
                "evaluate it again, or name another --run"
            )
        job = _job_of(store, record, device)
        opened = job.open_store()
        table = read_table(opened.run_table(record["run"], "manifest"))
        part = Part(job, name, Manifest.from_table(table).of(name), opened)
        if any(key not in part.features for key in part.train):
            raise StoreError(
                f"features of run {record['run']}, category {name}, are no longer in "
                f"{part.store.root}: evaluate {record['root']} again with the same options"
            )
        return cls(record, scoring_of(part, parse_method(label)))

    @property
    def part(self) -> Part:
        """The category's files."""
        return self.scoring.part

    @cached_property
    def image_ids(self) -> list[str]:
        """Paths of the training images below the dataset's root, in the order of the index."""
        return [image.image_id for image in self.part.manifest.train()]


def _chosen(run: str, categories: list[str], category: str | None) -> str:
    if category is None and len(categories) == 1:
        return categories[0]
    if category in categories:
        return str(category)
    said = "not given" if category is None else repr(category)
    raise ConfigurationError(f"category is {said}: run {run} has {', '.join(categories)}; name one of them")


def _job_of(store: str, record: Mapping[str, Any], device: str) -> Job:
    """The job of a run, as far as scoring needs it."""
    return Job(
        dataset=Dataset.of_run(record),
        store=store,
        configuration=configuration_of(record),
        methods=methods_of(record),
        categories=(),
        run_id=record["run"],
        weights_file=record["weights"] or "",
        weights_sha256=record["weights_sha256"],
        feature_key=record["feature_key"],
        device=device,
        batch_size=DEFAULT_BATCH_SIZE,
        memory_gib=DEFAULT_MEMORY_GIB,
        started=record["started"].isoformat(),
    )
