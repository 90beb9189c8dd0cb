from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tasks.core.memory import release, reuse

SIZE, COUNT = 2**16, 4096  # arrays of 256 MiB together, each too small to be a mapping of its own


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_what_a_thread_freed_is_given_back() -> None:
    pins = []

    def work() -> None:
        for _ in range(COUNT):
            np.ones(SIZE, np.uint8)
        arrays = [np.ones(SIZE, np.uint8) for _ in range(COUNT)]
        pins.append(arrays[-1])

    release()
    before = resident()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert resident() > before + SIZE * COUNT // 2
    release()
    assert resident() < before + SIZE * COUNT // 4


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[None] = []

    def without(name: None) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", without)
    release()
    assert asked == [None]
    reuse()
    assert len(asked) > 1


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
@pytest.mark.parametrize(("begin", "again"), [("import flows", False), ("", True)])
def test_large_arrays_of_threads_are_made_where_others_were(begin: str, again: bool) -> None:
    """In a process of its own, as that lasts; counted are the pages that it was given."""
    code = f"""
{begin}
import resource, threading

def work():
    b"1" * 2**25

def pages():
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

pages()
before = pages()
print(pages() - before)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert (int(shown) > 2**25 / os.sysconf("SC_PAGE_SIZE") / 2) == again
