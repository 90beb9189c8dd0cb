from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from storage.errors import UnreachableStoreError
from storage.store.connection import make_bucket
from storage.store.segments import Segments
from storage.store.store import Store

READER = """
import sys
from storage.store.store import Store

store = Store.open(sys.argv[1])
assert len(store.read_all(store.entries(store.root / "many"))) == 40
if sys.argv[2:]:
    import asyncio, threading, time
    from storage.store.segments import Segments

    wake = asyncio.selector_events.BaseSelectorEventLoop._write_to_self

    def wake_and_dawdle(loop):  # who hands over what was read is still at it when the interpreter ends
        wake(loop)
        if threading.current_thread() is not threading.main_thread():
            for _ in range(500):
                time.sleep(0.001)

    asyncio.selector_events.BaseSelectorEventLoop._write_to_self = wake_and_dawdle
    assert Segments(store, store.features("key")).read("a", "level").tolist() == [1.0]
"""


def test_a_bucket_is_made_once(bucket: str) -> None:
    store = Store.open(f"{bucket}/store", create=True)
    make_bucket(str(store.root))
    assert Store.open(f"{bucket}/store") == store


def test_a_bucket_that_may_not_be_made_is_named(bucket: str, refuse: Callable[[], None]) -> None:
    refuse()
    with pytest.raises(
        UnreachableStoreError, match=r"s3://new-one cannot be used \(HTTP Error .*AWS_ACCESS_KEY"
    ):
        make_bucket("s3://new-one/store")
    with pytest.raises(UnreachableStoreError, match=f"{bucket}/store"):
        Store.open(f"{bucket}/store")


@pytest.mark.parametrize(("times", "arguments"), [(16, []), (4, ["arrays"])])
def test_a_process_that_read_a_bucket_ends_well(bucket: str, times: int, arguments: list[str]) -> None:
    store = Store.open(f"{bucket}/store", create=True)
    store.write_all({store.root / "many" / f"{number}": b"content" for number in range(40)})
    rows = pa.table({"sha256": ["a"]})
    Segments(store, store.features("key")).append(rows, {"level": np.ones((1, 1), np.float32)})

    def read(_: int) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", READER, str(store.root), *arguments]
        return subprocess.run(command, capture_output=True)

    with ThreadPoolExecutor(2) as pool:
        for ended in pool.map(read, range(times)):
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
