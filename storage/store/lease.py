"""A lock in a bucket: an object that its holder signs again and again, and that nobody signs unseen.

Each put is on condition that the object is still the one that was last read or written: of two who sign at
once the server refuses one. No clock is compared with another: by its own, a holder begins a write within a
minute of its last signature, or signs anew before; by the server's, the object must have been left alone
for five minutes before another takes it over.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import ObjectStore

from storage.errors import LostLockError, StoreError
from storage.store.connection import answers

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion

_RENEW = 30.0  # seconds between two signatures
_TRUSTED = 60.0  # seconds after the last one in which a write may begin; it takes no three minutes
_STALE = 300.0  # seconds after the last one at which its holder counts as dead
_FREE = "free"


class _Seen(NamedTuple):
    """Who signed the object last, what the next put must name, and when that was by the server's clock."""

    owner: str
    tag: UpdateVersion
    signed: datetime


class Lease:
    """One who wants to hold the lock, or does."""

    def __init__(self, objects: ObjectStore, key: str, url: str) -> None:
        """The lock at `key`, named `url` in errors; nothing is asked for yet."""
        self._objects = objects
        self._key = key
        self._url = url
        self._owner = secrets.token_hex(16)
        self._tag: UpdateVersion = {}
        self._signed = 0.0
        self._lost = False
        self._signing = threading.Lock()

    def take(self) -> bool:
        """Whether the lock is now ours: it was free, or its holder is dead.

        Raises:
            StoreError: the server has no conditional puts.
        """
        seen = self._read()
        if seen is not None and seen.owner != _FREE and not self._is_stale(seen):
            return False
        taken = self._sign(self._owner, None if seen is None else seen.tag)
        if taken and not self._is_kept():
            raise StoreError(
                f"{self._url} keeps nobody off: its server ignores the conditions of puts (If-None-Match), "
                "keep the store where they are honoured"
            )
        return taken

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Sign the object now and then, and give it back at the end."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(_RENEW) and not self._lost:
                with suppress(StoreError):  # it may answer again before the lock is lost
                    self._renew()

        thread = threading.Thread(target=renew, name=f"renew {self._url}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            if not self._lost:
                with suppress(StoreError):  # it is free when it is stale
                    self._sign(_FREE, self._tag)

    def check(self) -> float:
        """A moment, now, at which the lock was ours.

        Raises:
            LostLockError: another may have it.
            UnreachableStoreError: whether one has cannot be known.
        """
        while (now := _now()) - self._signed > _TRUSTED and not self._lost:
            self._renew()
        if self._lost:
            raise LostLockError(
                f"{self._url} was taken over by another process, for this one was not heard of for "
                f"{_STALE:.0f} seconds: nothing more is written, start it again"
            )
        return now

    def _renew(self) -> None:
        with self._signing:
            self._lost = self._lost or not self._sign(self._owner, self._tag)

    def _sign(self, owner: str, tag: UpdateVersion | None) -> bool:
        """Put the object if it is still the one of this tag, or still absent; whether it was ours to put."""
        while True:
            begun = _now()
            try:
                with answers(self._url):
                    put = obstore.put(
                        self._objects,
                        self._key,
                        f"{owner} {secrets.token_hex(8)}".encode(),  # no two are alike, nor their tags
                        mode="create" if tag is None else tag,
                    )
            except (AlreadyExistsError, PreconditionError, FileNotFoundError):
                seen = self._read()
                if seen is None or seen.owner != self._owner:
                    return False
                tag = seen.tag  # an earlier put of ours arrived, and its answer did not
            else:
                self._tag, self._signed = _tag(put), begun
                return True

    def _is_kept(self) -> bool:
        """Whether the server refuses who believes that there is no such object."""
        try:
            with answers(self._url):
                obstore.put(self._objects, self._key, f"{self._owner} -".encode(), mode="create")
        except AlreadyExistsError:
            return True
        return False

    def _read(self) -> _Seen | None:
        try:
            with answers(self._url):
                found = obstore.get(self._objects, self._key)
                owner = bytes(found.bytes()).decode().split()[0]
        except FileNotFoundError:
            return None
        return _Seen(owner, _tag(found.meta), found.meta["last_modified"])

    def _is_stale(self, seen: _Seen) -> bool:
        """Whether the object was left alone for long, by the clock that dates it."""
        clock = f"{self._key}.clock"
        with answers(self._url):
            obstore.put(self._objects, clock, b"")
            now = obstore.head(self._objects, clock)["last_modified"]
        return now - seen.signed > timedelta(seconds=_STALE)


def _tag(written: PutResult | ObjectMeta) -> UpdateVersion:
    tag: UpdateVersion = {"e_tag": written["e_tag"]}
    if written["version"] is not None:
        tag["version"] = written["version"]
    return tag


def _now() -> float:
    """Seconds that go on while the machine sleeps, where it knows."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
