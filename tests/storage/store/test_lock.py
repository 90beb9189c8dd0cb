from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import obstore
import pytest
from machines import Processes, until
from obstore.exceptions import GenericError, PreconditionError
from s3 import put
from tampering import overwrite

from storage.errors import LostLockError, StoreError, UnreachableStoreError
from storage.store import bucket as bucket_module
from storage.store import lease
from storage.store.location import read_bytes
from storage.store.lock import BusyError, exclusive
from storage.store.store import Store


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "_POLL", 0.01)


@pytest.fixture
def remote(bucket: str) -> Store:
    return Store.open(f"{bucket}/store", create=True)


def hold_up(store: Store) -> None:
    """Let the holders in this process have been held up for long."""
    for held in store.root.medium._leases:  # type: ignore[attr-defined]
        held._signed = -math.inf


def test_a_second_holder_is_refused_until_the_first_ends(store: Store) -> None:
    with exclusive(store, "nightly", wait=False):  # noqa: SIM117
        with (
            pytest.raises(BusyError, match=r"another nightly holds .*nightly.lock"),
            exclusive(store, "nightly", wait=False),
        ):
            raise AssertionError("two holders")
    with exclusive(store, "nightly", wait=False):
        pass


def test_locks_of_other_names_are_free(store: Store) -> None:
    with exclusive(store, "nightly", wait=False), exclusive(store, "prune", wait=False):
        store.write(store.root / "file", b"")


def test_an_error_frees_the_lock(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(store, "nightly", wait=False):
        raise ZeroDivisionError
    with exclusive(store, "nightly", wait=False):
        pass


def test_one_that_waits_goes_on_after_the_first(store: Store) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(store, "nightly", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(store, "nightly", wait=False):
        thread.start()
        for number in range(20):
            store.write(store.root / f"{number}", b"")
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_of_a_folder_holds_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    code = (
        "import sys, time\nfrom storage.store.store import Store\nfrom storage.store.lock import exclusive\n"
        "with exclusive(Store.open(sys.argv[1]), 'nightly', wait=False):\n"
        "    print('held', flush=True)\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BusyError), exclusive(store, "nightly", wait=False):
            pass
        process.kill()
    with exclusive(store, "nightly", wait=False):
        pass


def test_a_dead_holder_of_a_bucket_is_replaced_when_it_is_stale(
    remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = remote.lock("nightly")
    overwrite(path, b"another 0")
    with pytest.raises(BusyError), exclusive(remote, "nightly", wait=False):
        pass
    monkeypatch.setattr(lease, "_STALE", -1.0)
    with exclusive(remote, "nightly", wait=False):
        assert not read_bytes(path).startswith(b"another")
    assert read_bytes(path).startswith(b"free")


def test_a_holder_of_a_bucket_shows_that_it_lives(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "_RENEW", 0.01)
    path = remote.lock("nightly")
    with exclusive(remote, "nightly", wait=False):
        first = read_bytes(path)
        until(lambda: read_bytes(path) != first, "another signature", 30, every=0.01)


@pytest.mark.parametrize("change", ["write", "remove"])
def test_a_holder_that_lost_a_bucket_stops_before_its_next_write(s3: str, remote: Store, change: str) -> None:
    kept = remote.root / "kept"
    remote.write(kept, b"before")
    changes = {"write": lambda: remote.write(kept, b"after"), "remove": lambda: remote.remove([kept])}
    with exclusive(remote, "nightly", wait=False):
        put(s3, str(remote.lock("nightly")), b"another 0")
        remote.write(remote.root / "other", b"")  # for a while nobody can have taken it over
        hold_up(remote)
        for _ in range(2):
            with pytest.raises(LostLockError, match=r"nightly\.lock was taken over by another process"):
                changes[change]()
    assert read_bytes(kept) == b"before"
    assert read_bytes(remote.lock("nightly")) == b"another 0"
    remote.write(kept, b"after")


def test_a_renewal_notices_that_the_lock_is_lost(
    s3: str, remote: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW", 0.01)

    def write() -> bool:
        remote.write(remote.root / "other", b"")
        return False

    with exclusive(remote, "nightly", wait=False):
        put(s3, str(remote.lock("nightly")), b"another 0")
        with pytest.raises(LostLockError):
            until(write, "the next renewal", 30, every=0.01)


def test_a_lock_that_cannot_be_renewed_stops_the_writes(remote: Store, refuse: Callable[[], None]) -> None:
    with exclusive(remote, "nightly", wait=False):
        refuse()
        hold_up(remote)
        with pytest.raises(UnreachableStoreError, match=r"nightly\.lock cannot be used .*AWS_ACCESS_KEY_ID"):
            remote.write(remote.root / "file", b"")


@pytest.mark.parametrize("error", [PreconditionError, GenericError])
def test_a_signature_whose_answer_was_lost_counts(
    remote: Store, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """What is sent again is refused, because it had arrived; or no answer comes at all."""
    send, lost = obstore.put, iter([True, False, True, False])

    def lose(*arguments: Any, **options: Any) -> Any:
        answer = send(*arguments, **options)
        if next(lost):
            raise error("lost")
        return answer

    with exclusive(remote, "nightly", wait=False):
        (held,) = remote.root.medium._leases  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(obstore, "put", lose)
            for _ in range(2):
                hold_up(remote)
                if error is GenericError:
                    with pytest.raises(UnreachableStoreError, match="lost"):
                        held.check()
                held.check()
        remote.write(remote.root / "file", b"")
    assert read_bytes(remote.lock("nightly")).startswith(b"free")


def test_a_server_that_ignores_conditions_is_named(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    send = obstore.put
    monkeypatch.setattr(obstore, "put", lambda *arguments, mode: send(*arguments))  # noqa: ARG005
    with pytest.raises(StoreError, match=r"nightly\.lock keeps nobody off: .*If-None-Match.* honoured"):  # noqa: SIM117
        with exclusive(remote, "nightly", wait=False):
            raise AssertionError("it is no lock")


CONTENDER = """
import os, sys
from storage.errors import LostLockError
from storage.store import bucket, lease
from storage.store.lock import exclusive
from storage.store.store import Store

bucket._POLL, lease._RENEW, lease._TRUSTED = 0.3, 0.1, 0.5
lease._STALE = 2.0  # the server dates by the second
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
check = lease.Lease.check

def logged(self):
    moment = check(self)
    os.write(log, f"{os.getpid()} {self._owner} {moment}\\n".encode())
    return moment

lease.Lease.check = logged
store = Store.open(sys.argv[1])
while True:
    try:
        with exclusive(store, "nightly", wait=True):
            for number in range(200):
                store.write(store.root / "work", b"")
    except LostLockError:
        continue
"""


ROUNDS = 2  # each some six seconds


class Contest:
    """Eight processes that want one lock, and what they wrote down of it: process, holder, moment."""

    def __init__(self, processes: Processes, store: Store, folder: Path) -> None:
        (folder / "contender.py").write_text(CONTENDER)
        (folder / "moments").touch()
        self._processes, self._store, self._folder = processes, store, folder
        self.running = [self._join() for _ in range(8)]

    def moments(self) -> list[tuple[float, str, int]]:
        """When which holder had the lock, and its process, in the order in which they wrote."""
        written = [line.split() for line in (self._folder / "moments").read_text().splitlines()]
        return [(float(moment), owner, int(process)) for process, owner, moment in written]

    def holder(self) -> subprocess.Popen[bytes]:
        """The process that had the lock last."""
        pid = self.moments()[-1][2]
        return next(process for process in self.running if process.pid == pid)

    def wait_for_another(self, holder: subprocess.Popen[bytes]) -> None:
        until(lambda: self.moments()[-1][2] != holder.pid, "another holder")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill one, and let another come in its place."""
        process.kill()
        self.running.remove(process)
        self.running.append(self._join())

    def _join(self) -> subprocess.Popen[bytes]:
        command = ("contender", str(self._store.root), str(self._folder / "moments"))
        return self._processes.start(*command, environment={}, folder=self._folder)


def test_of_eight_processes_no_two_hold_the_lock(processes: Processes, remote: Store, tmp_path: Path) -> None:
    """Holders are killed, or stopped until others took over: no moment of one lies among those of another."""
    contest = Contest(processes, remote, tmp_path)
    until(contest.moments, "a first holder")
    for _ in range(ROUNDS):
        holder = contest.holder()
        contest.kill(holder)
        contest.wait_for_another(holder)
        holder = contest.holder()
        holder.send_signal(signal.SIGSTOP)
        contest.wait_for_another(holder)
        holder.send_signal(signal.SIGCONT)
    turns = [owner for owner, _ in groupby(owner for _, owner, _ in sorted(contest.moments()))]
    assert len(turns) == len(set(turns)) > 2 * ROUNDS
