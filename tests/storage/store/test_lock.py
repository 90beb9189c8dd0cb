from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from upath import UPath

from storage.store import lock
from storage.store.lock import BusyError, exclusive
from storage.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose lock is an object, as in a bucket."""
    path = UPath(f"memory://{tmp_path.name}/nightly.lock")
    monkeypatch.setattr(Store, "lock", lambda *_: path)
    monkeypatch.setattr(lock, "_POLL", 0.01)
    return Store.open(tmp_path / "bucket", create=True)


@pytest.mark.parametrize("kind", ["store", "bucket"])
def test_a_second_holder_is_refused_until_the_first_ends(kind: str, request: pytest.FixtureRequest) -> None:
    held = request.getfixturevalue(kind)
    with exclusive(held, "nightly", wait=False):  # noqa: SIM117
        with (
            pytest.raises(BusyError, match=r"another nightly holds .*nightly.lock"),
            exclusive(held, "nightly", wait=False),
        ):
            raise AssertionError("two holders")
    with exclusive(held, "nightly", wait=False):
        pass


@pytest.mark.parametrize("kind", ["store", "bucket"])
def test_an_error_frees_the_lock(kind: str, request: pytest.FixtureRequest) -> None:
    held = request.getfixturevalue(kind)
    with pytest.raises(ZeroDivisionError), exclusive(held, "nightly", wait=False):
        raise ZeroDivisionError
    with exclusive(held, "nightly", wait=False):
        pass


@pytest.mark.parametrize("kind", ["store", "bucket"])
def test_one_that_waits_goes_on_after_the_first(kind: str, request: pytest.FixtureRequest) -> None:
    held = request.getfixturevalue(kind)
    order: list[str] = []
    started = threading.Event()

    def second() -> None:
        started.set()
        with exclusive(held, "nightly", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(held, "nightly", wait=False):
        thread.start()
        started.wait()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_of_a_folder_holds_nothing(store: Store) -> None:
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
    bucket: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bucket.lock("nightly")
    path.write_text(f"another {time.time()}")
    with pytest.raises(BusyError), exclusive(bucket, "nightly", wait=False):
        pass
    monkeypatch.setattr(lock, "_STALE", -1.0)
    with exclusive(bucket, "nightly", wait=False):
        assert not path.read_text().startswith("another")
    assert not path.exists()


def test_a_holder_of_a_bucket_shows_that_it_lives(bucket: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_RENEW", 0.01)
    path = bucket.lock("nightly")
    with exclusive(bucket, "nightly", wait=False):
        first = path.read_text()
        deadline = time.monotonic() + 30
        while path.read_text() == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.read_text() != first
