"""Registered datasets, looked at again and again: one whose images changed is reprocessed."""

from __future__ import annotations

from prefect import flow

from flows.automations import inherited
from flows.nightly import NAME as NIGHTLY
from flows.registered import BadRunsError, RegisteredRun
from flows.reprocess import reprocess
from flows.runners import Kind
from storage.datasets.manifest import last_manifest
from storage.datasets.registry import Registration, read_registry
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.location import DEFAULT_REGISTRY
from storage.store.lock import BusyError, exclusive
from storage.store.store import DEFAULT_STORE, Store
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB
from tasks.progress import LOGGER

NAME = "watch"


@flow(name=NAME)
def watch(
    registry: str = DEFAULT_REGISTRY,
    store: str = DEFAULT_STORE,
    runner: Kind = "threads",
    dask_address: str | None = None,
    parallel: int = 1,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
) -> list[RegisteredRun]:
    """Reprocess each registered dataset whose files are not those of its last run, and nothing else.

    Files are listed, and only those whose size, time or ETag is new are read. A dataset that cannot be read
    is logged; the night tells of it. While a night or another watch is under way, this one leaves.

    Raises:
        BadRunsError: a configuration failed, in whole or in part.
    """
    opened, known = Store.open(store, create=True), read_registry(registry)
    runs: list[RegisteredRun] = []
    try:
        with exclusive(opened, NAME, wait=False):
            _check_no_night(opened)
            for name in sorted(known.entries):
                if not _is_changed(opened, name, known.entries[name]):
                    continue
                LOGGER.info("dataset %s changed", name)
                try:
                    with inherited():
                        runs += reprocess(
                            name,
                            registry,
                            store,
                            runner,
                            dask_address,
                            parallel,
                            device,
                            batch_size,
                            memory_gib,
                        )
                except BadRunsError as error:
                    runs += error.runs
    except BusyError as error:
        LOGGER.info("%s; this one leaves", error)
    if bad := [run for run in runs if run.reason is not None]:
        raise BadRunsError(runs, bad)
    return runs


def _check_no_night(store: Store) -> None:
    """Raise BusyError while a night is under way; what a dead one left behind is none."""
    if store.exists(store.holder(NIGHTLY)):
        with exclusive(store, NIGHTLY, wait=False):
            return


def _is_changed(store: Store, name: str, entry: Registration) -> bool:
    """Whether the dataset's files are others than in the manifest of its last run, or it had none."""
    known = last_manifest(store, entry.dataset.name)
    try:
        manifest = read_manifest(entry.dataset, entry.categories, known=known)
    except DatasetError as error:
        LOGGER.warning("dataset %s cannot be looked at: %s", name, error)
        return False
    return known is None or known.digest() != manifest.digest()
