"""What is on disk when the power fails: a model of a file system that forgets whatever was not synced.

It is fed with the system calls of a process that writes to a store, as strace reports them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

WRITER = """
import sys
import numpy as np, pyarrow as pa
from storage.results.runs import publish
from storage.store.segments import Segments
from storage.store.store import Store

store = Store.open(sys.argv[1], create=True)
for batch in range(2):
    rows = Segments(store, store.features("key"))
    values = np.zeros((1, 2, 2), np.float32)
    rows.append(pa.table({"sha256": [str(batch)]}), {"level": values, "embedding": values[:, 0]})
store.write(store.state("state"), b"state")
store.write(store.state("state", "json"), b"seal")
for _ in range(2):
    publish(store, "one", pa.table({"status": ["complete"]}), {"images": pa.table({"image": [1]})})
"""
CALLS = re.compile(
    r"""(?P<name>mkdir|rename|unlink|rmdir)\("(?P<path>[^"]+)"(?:,\ "(?P<target>[^"]+)")?.*=\ 0$
    |(?P<opening>openat)\(.*"(?P<opened>[^"]+)",\ [^)]*O_CREAT.*=\ \d+<
    |(?P<change>write|ftruncate|pwrite64|fsync)\(\d+<(?P<file>[^>]+)>.*=\ \d+$""",
    re.VERBOSE,
)


@dataclass
class Forgetful:
    """Contents and names that are not on disk yet: files written, and for a folder the names that changed."""

    written: set[str] = field(default_factory=set)
    named: dict[str, set[str]] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    def call(self, line: str) -> str | None:
        """Apply a system call; the path that got its name by it, if it is a renaming."""
        found = CALLS.search(line)
        if found is None:
            return None
        if found["opening"]:
            self._change(found["opened"])
        elif found["change"] == "fsync":
            self.written.discard(found["file"])
            self.named.pop(found["file"], None)
        elif found["change"]:
            self.written.add(found["file"])
        elif found["name"] == "rename":
            self._change(found["path"])
            self._change(found["target"])
            if found["path"] in self.written:
                self.written.remove(found["path"])
                self.written.add(found["target"])
            return found["target"]
        else:
            self._change(found["path"])
            self.removed += [found["path"]] if found["name"] == "unlink" else []
        return None

    def lost(self, path: str) -> str | None:
        """What of a path would be as before: its content, its name or that of a folder above it."""
        if path in self.written:
            return f"the content of {path}"
        for each in (Path(path), *Path(path).parents):
            if each.name in self.named.get(str(each.parent), ()):
                return f"the name {each}"
        return None

    def _change(self, path: str) -> None:
        self.named.setdefault(str(Path(path).parent), set()).add(Path(path).name)


@pytest.fixture
def calls(tmp_path: Path) -> list[str]:
    """The system calls of the writer that change files of its store."""
    strace, trace = shutil.which("strace"), tmp_path / "trace"
    if strace is None:
        pytest.skip("strace is not installed (Debian: apt install strace)")
    calls = "trace=/mkdir|rename|unlink|rmdir|openat|write|ftruncate|fsync"
    tracing = [strace, "-f", "--seccomp-bpf", "-y", "-s", "0", "-e", calls]
    if subprocess.run([*tracing, "-o", str(trace), "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace processes here")
    writer = [sys.executable, "-c", WRITER, str(tmp_path / "store")]
    subprocess.run([*tracing, "-o", str(trace), *writer], check=True)
    return [line for line in whole_calls(trace.read_text()) if str(tmp_path) in line]


def whole_calls(trace: str) -> Iterator[str]:
    """The lines of a trace as their calls ended; one that another thread interrupts is on two lines."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        thread, call = line.split(maxsplit=1)
        if call.endswith(" <unfinished ...>"):
            begun[thread] = call.removesuffix(" <unfinished ...>")
        elif call.startswith("<... "):
            yield begun.pop(thread) + call.partition(" resumed>")[2]
        else:
            yield call


def test_data_are_on_disk_before_the_record_that_names_them(calls: list[str]) -> None:
    disk = Forgetful()
    renamed: list[str] = []
    for call in calls:
        target = disk.call(call)
        if target is None:
            continue
        assert disk.lost(target) == f"the name {target}"  # its content is there
        assert [path for path in disk.removed if path != target and disk.lost(path)] == []
        if Path(target).parent.name == "records" or Path(target).name in ("run.parquet", "state.json"):
            assert [path for path in renamed if path != target and disk.lost(path)] == []
        renamed.append(target)
    assert [path for path in renamed if disk.lost(path)] == []
    assert len(renamed) == 1 + 2 * 6 + 2 + (3 + 3) + 3
    assert [Path(path).name for path in disk.removed] == ["run.parquet"]
