"""From a folder of images to the manifest of a run."""

from __future__ import annotations

import time

from storage.datasets.manifest import Manifest, last_manifest
from storage.datasets.scan import read_manifest
from storage.store.store import digest
from storage.store.tables import table_bytes
from tasks.job import Job, Stage
from tasks.progress import report
from tasks.step import step


@step
def ingest(job: Job) -> Stage:
    """Write the manifest of the run; an image seen before is hashed, not decoded."""
    start = time.perf_counter()
    store = job.open_store()
    known = last_manifest(store, job.dataset.name)
    manifest = read_manifest(job.dataset, job.categories, known=known, progress=report_files)
    content = table_bytes(manifest.table())
    store.remove([store.set_aside(job.run_id)])
    store.write(store.job(job.run_id, "manifest"), content)
    store.write(store.manifest(job.dataset.name), content)
    seen = {entry.sha256 for entry in known.files} if known else set()
    new = sum(entry.sha256 not in seen for entry in manifest.files)
    return Stage("ingest", None, time.perf_counter() - start, new, len(manifest.files))


def report_files(done: int, total: int) -> None:
    """Log now and then how many files of a dataset have been read."""
    if done % 50 == 0 or done == total:
        report("ingest", None, done, total)


def fingerprint(job: Job, manifest: Manifest) -> str:
    """Digest of all that determines a run's tables: settings, weights, methods, categories and data."""
    settings = job.configuration.values() | {"weights": job.weights_sha256}
    methods = [method.label for method in job.methods]
    return digest([settings, methods, manifest.dataset, manifest.categories(), manifest.digest()])
