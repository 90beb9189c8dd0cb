"""From the user's words to a job, and from a folder of images to a manifest."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from prefect import task
from prefect.cache_policies import NO_CACHE

from storage.datasets import Manifest, dataset_root, find_categories, last_manifest, read_manifest
from storage.layout import Store, digest
from storage.tables import table_bytes
from tasks.core.config import DEFAULT_MEMORY_GIB, Configuration, ConfigurationError
from tasks.job import Job, Stage
from tasks.progress import report
from tasks.weights import file_sha256, weights_file


@task(cache_policy=NO_CACHE)
def prepare(
    root: str,
    store: str,
    configuration: Configuration,
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = 16,
    memory_gib: float = DEFAULT_MEMORY_GIB,
) -> Job:
    """Check all that can be checked before any image is read, settle what was left open, open the store.

    Raises:
        ConfigurationError, DatasetError, StoreError: what is wrong, and the remedy.
    """
    job = settle(root, store, configuration, run_id, device, batch_size, memory_gib)
    Store.open(job.store, create=True).check_writable()
    return job


def settle(
    root: str,
    store: str,
    configuration: Configuration,
    run_id: str | None = None,
    device: str = "auto",
    batch_size: int = 16,
    memory_gib: float = DEFAULT_MEMORY_GIB,
) -> Job:
    """The job that these words mean; its store is not looked at, and need not exist.

    Raises:
        ConfigurationError, DatasetError: what is wrong, and the remedy.
    """
    if run_id is not None and (
        not re.fullmatch(r"[\w-][\w.-]{0,99}", run_id, re.ASCII) or run_id == "latest"
    ):
        raise ConfigurationError(
            f"run-id is {run_id!r}: use up to 100 letters, digits and _ . -, not 'latest', not first a dot"
        )
    if batch_size < 1:
        raise ConfigurationError(f"batch-size is {batch_size}: it is a whole number, 1 or more")
    if not memory_gib > 0:
        raise ConfigurationError(f"memory is {memory_gib}: it is a number of GiB above 0")
    folder = dataset_root(root)
    find_categories(folder)
    weights = weights_file(configuration.backbone, configuration.weights)
    weights_sha256 = file_sha256(weights)
    now = datetime.now(UTC)
    return Job(
        root=str(folder),
        store=str(Path(store).expanduser().absolute()),
        run_id=run_id or f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
        configuration=configuration,
        weights_file=str(weights),
        weights_sha256=weights_sha256,
        feature_key=digest(configuration.feature_description(weights_sha256)),
        device=_device(device),
        batch_size=batch_size,
        memory_gib=memory_gib,
        started=now.isoformat(),
    )


@task(cache_policy=NO_CACHE)
def ingest(job: Job, categories: Sequence[str] = ()) -> Stage:
    """Write the manifest of the run; an image seen before is hashed, not decoded."""
    start = time.perf_counter()
    store = job.open_store()
    known = last_manifest(store, job.dataset)
    manifest = read_manifest(job.root, categories, known=known, progress=report_files)
    content = table_bytes(manifest.table())
    store.write(store.job(job.run_id), content)
    store.write(store.manifest(job.dataset), content)
    seen = {entry.sha256 for entry in known.entries} if known else set()
    new = sum(entry.sha256 not in seen for entry in manifest.entries)
    return Stage("ingest", None, time.perf_counter() - start, new, len(manifest.entries))


def report_files(done: int, total: int) -> None:
    """Log now and then how many files of a dataset have been read."""
    if done % 50 == 0 or done == total:
        report("ingest", None, done, total)


def fingerprint(job: Job, manifest: Manifest) -> str:
    """Digest of all that determines a run's tables: settings, weights, categories and data."""
    settings = asdict(job.configuration) | {"weights": job.weights_sha256}
    return digest([settings, manifest.dataset, manifest.categories(), manifest.digest()])


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return str(torch.empty(0, device=name).device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device is {name!r}: use auto, cpu, or one that torch has here ({str(error).splitlines()[0]})"
        ) from error
