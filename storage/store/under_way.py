"""Runs under way, and who prunes: whoever comes second sees the other.

    under-way/RUN~TOKEN.json   the runs and the dataset that a process works on; written first
    under-way/RUN~TOKEN.lock   held while it lives

A process takes a lock of its own before it looks at anything that a prune may remove, then waits until nobody
prunes. Who prunes takes the lock `prune`, then looks who is under way. No clock is asked but that of a lock.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import NamedTuple

from storage.errors import StoreError
from storage.store.location import Location, read_bytes
from storage.store.lock import exclusive
from storage.store.store import Store


class UnderWay(NamedTuple):
    """What a process works on."""

    runs: frozenset[str]
    dataset: str


class Seen(NamedTuple):
    """Who is under way, and the files that dead processes left."""

    living: tuple[UnderWay, ...]
    dead: tuple[Location, ...]


def pruning(store: Store) -> AbstractContextManager[None]:
    """Within this nobody else prunes or merges, and no run begins; another's end is waited for."""
    return exclusive(store, "prune", wait=True)


@contextmanager
def under_way(store: Store, runs: Sequence[str], dataset: str) -> Iterator[None]:
    """Within this nothing that runs on a dataset may count on is removed; a prune is waited for.

    In a bucket, one that was held up for five minutes and then taken for dead gets a LostLockError instead of
    its next write.
    """
    while True:
        about = store.under_way(f"{runs[0]}~{secrets.token_hex(8)}.json")
        lock = about.with_suffix(".lock")
        store.write(about, json.dumps({"runs": list(runs), "dataset": dataset}).encode())
        try:
            with lock.medium.hold(lock.path, wait=True):
                with pruning(store):
                    pass
                if store.exists(lock):  # else it was removed as that of a dead one before it was held
                    yield
                    return
        finally:
            with suppress(StoreError):  # the next prune removes them
                store.discard(_files(lock))


def seen(store: Store) -> Seen:
    """Who is under way; it is known of all who are only by who prunes."""
    living, dead = [], list[Location]()
    for lock in store.entries(store.under_way(), ".lock"):
        with lock.medium.hold(lock.path, wait=False) as is_dead:
            pass
        if is_dead:
            dead += _files(lock)
            continue
        with suppress(FileNotFoundError):  # it ended
            about = json.loads(read_bytes(lock.with_suffix(".json")))
            living.append(UnderWay(frozenset(about["runs"]), about["dataset"]))
    return Seen(tuple(living), tuple(dead))


def _files(lock: Location) -> list[Location]:
    return [lock, lock.parent / f"{lock.name}.clock", lock.with_suffix(".json")]
