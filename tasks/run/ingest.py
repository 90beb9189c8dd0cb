"""From a folder of images to the manifest of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence

from storage.datasets.manifest import ImageFile, Manifest, last_manifest
from storage.datasets.scan import read_manifest
from storage.store.store import Store, digest
from storage.store.tables import table_bytes
from tasks.job import Job, Stage
from tasks.progress import report_files
from tasks.run.crops import setting_by
from tasks.step import step

_EVERY = 30.0  # seconds between two writes of what was read so far


@step
def ingest(job: Job, *, verify: bool = False) -> Stage:
    """Write the manifest of the run; of a dataset seen before, only what changed is read, or all to `verify`.

    What was read when this is interrupted is kept, and not read again. What the network sees of images that
    were decoded is set by for `extract`.
    """
    start = time.perf_counter()
    store = job.open_store()
    known = last_manifest(store, job.dataset.name)
    kept = _Kept(store, job.dataset.name, known)
    try:
        manifest = read_manifest(
            job.dataset,
            job.categories,
            known=known,
            verify=verify,
            progress=report_files,
            read=kept.read,
            decoded=setting_by(job),
        )
    except BaseException:
        kept.write()
        raise
    content = table_bytes(manifest.table())
    store.remove([store.set_aside(job.run_id)])
    store.write(store.job(job.run_id, "manifest"), content)
    store.write(store.manifest(job.dataset.name), content)
    seen = {entry.sha256 for entry in known.files} if known else set()
    new = sum(entry.sha256 not in seen for entry in manifest.files)
    return Stage("ingest", None, time.perf_counter() - start, new, len(manifest.files))


class _Kept:
    """Keeps in the store what was read of a dataset, now and then, beside what was known."""

    def __init__(self, store: Store, name: str, known: Manifest | None) -> None:
        self._store, self._name = store, name
        self._files = {file.image_id: file for file in known.files} if known else {}
        self._new = 0
        self._written = time.monotonic()

    def read(self, files: Sequence[ImageFile]) -> None:
        """Take over what was read, and write it once in `_EVERY` seconds."""
        self._new += sum(file.stamp is None or file != self._files.get(file.image_id) for file in files)
        self._files |= {file.image_id: file for file in files}
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self) -> None:
        """Write it, if any of it is new."""
        if self._new:
            manifest = Manifest(self._name, tuple(self._files.values()))
            self._store.write(self._store.manifest(self._name), table_bytes(manifest.table()))
        self._new, self._written = 0, time.monotonic()


def fingerprint(job: Job, manifest: Manifest) -> str:
    """Digest of all that determines a run's tables: settings, weights, methods, corruptions, data."""
    settings = job.configuration.values() | {"weights": job.weights_sha256}
    methods = [method.label for method in job.methods]
    corruptions = [[[each.name, each.severity] for each in job.corruptions]] if job.corruptions else []
    described = [settings, methods, manifest.dataset, manifest.categories(), manifest.digest()]
    return digest([*described, *corruptions])
