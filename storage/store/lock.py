"""One holder at a time: what must run alone on a store takes its lock first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from storage.errors import StoreError
from storage.store.store import Store


class BusyError(StoreError):
    """Another process holds the lock."""


@contextmanager
def exclusive(store: Store, name: str, *, wait: bool) -> Iterator[None]:
    """Hold the store's lock of that name; wait for another holder to end, or raise.

    In a folder the operating system frees the lock of a process that dies. In a bucket it counts for nothing
    five minutes after its holder was last heard of; a holder that was only held up gets a LostLockError
    instead of its next write.

    Raises:
        BusyError: with `wait` False, another process holds it.
    """
    path = store.lock(name)
    with path.medium.hold(path.path, wait=wait) as held:
        if not held:
            raise BusyError(f"another {name} holds {path}: wait for its end, or let this one wait for it")
        yield
