"""One holder at a time: what must run alone on a store takes its lock first."""

from __future__ import annotations

import math
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from upath import UPath

from storage.errors import StoreError
from storage.store.location import Location
from storage.store.store import Store

_POLL = 2.0  # seconds between two attempts
_RENEW = 30.0  # seconds between two signs of life in a bucket
_STALE = 300.0  # seconds without one, after which the holder counts as dead


class BusyError(StoreError):
    """Another process holds the lock."""


@contextmanager
def exclusive(store: Store, name: str, *, wait: bool) -> Iterator[None]:
    """Hold the store's lock of that name; wait for another holder to end, or raise.

    In a folder the operating system frees the lock of a process that dies. In a bucket it is an object that
    its holder renews, and that counts for nothing five minutes after the last time; clocks must agree to a
    minute.

    Raises:
        BusyError: with `wait` False, another process holds it.
    """
    path: Location = store.lock(name)
    busy = BusyError(f"another {name} holds {path}: wait for its end, or let this one wait for it")
    if isinstance(path, Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(path).acquire(timeout=-1 if wait else 0)
        except Timeout:
            raise busy from None
        with held:
            yield
        return
    owner = secrets.token_hex(8)
    while not _take(path, owner):
        if not wait:
            raise busy
        time.sleep(_POLL)
    with _renewed(path, owner):
        yield


def _take(path: UPath, owner: str) -> bool:
    """Whether the object is now ours: created, or another's that is no longer renewed."""
    _, renewed = _read(path)
    if time.time() - renewed > _STALE:
        path.unlink(missing_ok=True)
    try:
        path.fs.pipe_file(path.path, _signed(owner), mode="create")
    except FileExistsError:
        return False
    return True


@contextmanager
def _renewed(path: UPath, owner: str) -> Iterator[None]:
    """Sign the object now and then, and remove it at the end if it is still ours."""
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(_RENEW):
            path.write_bytes(_signed(owner))

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if _read(path)[0] == owner:
            path.unlink(missing_ok=True)


def _signed(owner: str) -> bytes:
    return f"{owner} {time.time()}".encode()


def _read(path: UPath) -> tuple[str, float]:
    """Who signed the object last, and when, in seconds; far in the future if there is none."""
    try:
        owner, renewed = path.read_text().split()
    except FileNotFoundError:
        return "", math.inf
    return owner, float(renewed)
