"""What a store of many nights costs to read and to publish to: seconds, requests, memory, as Markdown tables.

A store is made of an index, or of records, of that many runs or images, and of the folders of the last runs
alone: nothing else is asked for. Each figure is of a process of its own, the least of three; requests are
counted by the server of a bucket, or are the files that are read, listed and changed on a disk. A publication
is the mean of as many as one folding takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from faults import FaultyDisk, on
from s3 import serving

from storage.results import index
from storage.results.metrics import AVERAGED
from storage.results.reader import Results
from storage.results.runs import earlier_runs, publish
from storage.results.schemas import CATEGORIES, STAGES
from storage.store.connection import make_bucket
from storage.store.records import Records, new_name
from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.tables import table_of, texts
from tasks.core.config import Configuration
from tasks.core.methods.spade import Spade
from tasks.run.tables import RUN, setting_values

RUNS = (10, 100, 1_000, 10_000)
IMAGES = (1_000, 100_000, 1_000_000)
DATASETS, PARTS = 8, 10  # a night has as many runs, and a run as many categories
FOLDING = 33  # publications, of which one folds
DELAY = 0.02  # seconds a request
START = datetime(2026, 1, 1, tzinfo=UTC)
BATCH = 16
COMMAND = """
import sys
from flows.cli.app import main
code = main(sys.argv[1:])
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0], file=sys.stderr)
sys.exit(code)
"""
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def record(number: int) -> dict[str, Any]:
    """A row of the table of runs."""
    plain = {
        column.name: {"string": "x" * 16, "int64": 1, "double": 1.5}.get(str(column.type)) for column in RUN
    }
    facts = {
        "status": "complete",
        "started": START + timedelta(hours=number),
        "finished": START + timedelta(hours=number, minutes=5),
        "dataset": f"dataset{number % DATASETS}",
        "methods": ["spade"],
        "configuration_key": "key",
        "fingerprint": hashlib.sha256(bytes(str(number), "ascii")).hexdigest()[:16],
        "worse": 0,
        "sweep": None,
        "sweep_points": None,
        "versions": {"numpy": "2.4.6", "python": "3.11.2", "torch": "2.14.1", "zarr": "3.1.6"},
    }
    return plain | facts | setting_values(Configuration(), [Spade()])


def category_rows(number: int) -> list[dict[str, Any]]:
    """The rows of the table of categories of a run; the metrics are random: no night is as another."""
    chance = np.random.default_rng(number)
    names = [name for metric in AVERAGED for name in (metric.name, metric.low, metric.high)]
    kept = [name for name in names if name in CATEGORIES.names]
    return [
        {
            "dataset": f"dataset{number % DATASETS}",
            "category": f"category{part}",
            "method": "spade",
            "status": "ok",
            "score_key": f"{part:016}",
        }
        | dict(zip(kept, chance.random(len(kept)).tolist(), strict=True))
        for part in range(PARTS)
    ]


def stage_rows() -> list[dict[str, Any]]:
    """The rows of the table of stages of a run."""
    shared = {"method": "spade", "seconds": 1.0, "computed": 0, "total": 80}
    return [
        shared | {"step": step, "category": f"category{part}", "score_key": f"{part:016}"}
        for part in range(PARTS)
        for step in ("score", "summarize")
    ]


def put(store: Store, number: int) -> None:
    """Publish a run after it was compared with those before it, as a night does."""
    run = f"nightly-{number:08}"
    row = record(number)
    earlier_runs(store, run, row)
    tables = {
        "categories": table_of(category_rows(number), CATEGORIES),
        "stages": table_of(stage_rows(), STAGES),
    }
    publish(store, run, table_of([row], RUN), tables)


def write_runs(store: Store, count: int) -> None:
    """An index of so many runs, of which the last few are published one by one."""
    folded = range(max(1, count - FOLDING // 2))
    names = texts([f"nightly-{number:08}" for number in folded])
    runs = table_of((record(number) for number in folded), RUN)
    runs = runs.add_column(0, "run", names).add_column(1, index.ACCEPTED, pa.array([False] * len(folded)))
    found = {"runs": runs}
    rows: dict[str, tuple[Callable[[int], list[dict[str, Any]]], pa.Schema]] = {
        "categories": (category_rows, CATEGORIES),
        "stages": (lambda _: stage_rows(), STAGES),
    }
    for table, (of_run, schema) in rows.items():
        parts = []
        for number in folded:
            part = table_of(of_run(number), schema)
            parts.append(part.add_column(0, "run", texts([f"nightly-{number:08}"] * part.num_rows)))
        found[table] = pa.concat_tables(parts)
    index.write(store, found, 1)
    for number in range(len(folded), count):
        put(store, number)


def key_of(number: int) -> str:
    """The SHA-256 of an image."""
    return hashlib.sha256(number.to_bytes(4, "big")).hexdigest()


def write_records(store: Store, count: int, *, merged: bool) -> None:
    """Records of the features of so many images, sixteen a batch."""
    group = store.features("key") / "records"
    digests = dict.fromkeys(("embedding", "level_14", "level_28", "level_56"), "0" * 64)
    small = Records(store, group)
    if not merged:
        for first in range(0, count, BATCH):
            keys = texts([key_of(number) for number in range(first, min(count, first + BATCH))])
            small.append(new_name(), pa.table({"sha256": keys}), digests)
        return
    step = 2**16
    for first in range(0, count, step):
        numbers = range(first, min(count, first + step))
        segments = [f"{number // BATCH:016x}-00000000" for number in numbers]
        table = pa.table(
            {
                "sha256": texts([key_of(number) for number in numbers]),
                "segment": texts(segments),
                "row": pa.array([number % BATCH for number in numbers], pa.int32()),
                "arrays": texts([json.dumps(digests)] * len(numbers)),
            }
        )
        small._replace([], [table])


def work(name: str, url: str) -> dict[str, float]:
    """Do what is measured, in a process of its own: seconds, files asked for on a disk, MiB at most."""
    disk = FaultyDisk()
    opened = Store.open(url)
    store = opened if "://" in url else on(disk, opened)
    before = disk.reads + disk.changes
    if name == "history":
        import pandas as pd

        pd.DataFrame({"run": ["one"]}).merge(pd.DataFrame({"run": ["one"]}), on="run")
    start = time.perf_counter()
    times = 1
    if name == "latest":
        Results(store.root).rows("categories")
    elif name == "history":
        Results(store.root).history("pro")
    elif name == "publish":
        times = FOLDING
        first = len(Results(store.root).rows("runs"))
        start, before = time.perf_counter(), disk.reads + disk.changes
        for number in range(first, first + times):
            put(store, number + 1_000_000)
    elif name == "features":
        Segments(store, store.features("key")).missing([key_of(7)])
    elif name == "merge":
        Segments(store, store.features("key")).merge()
    seconds = (time.perf_counter() - start) / times
    return {
        "seconds": seconds,
        "requests": (disk.reads + disk.changes - before) / times,
        "mib": _peak_mib(),
    }


def _peak_mib() -> float:
    """Highest resident memory of this program; that of getrusage counts who started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


class Server:
    """Counts the requests to a bucket, and lets each wait."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self.requests, self.delay = 0, 0.0

    def __call__(self) -> None:
        """A request comes."""
        self.requests += 1
        time.sleep(self.delay)


def measure(server: Server, name: str, url: str, repeats: int = 3) -> dict[str, float]:
    """The least of several processes; `command` is the whole of `spade results`."""
    found = []
    for _ in range(repeats):
        before, start = server.requests, time.perf_counter()
        if name == "command":
            arguments = [sys.executable, "-c", COMMAND, "results", "--store", url]
            done = subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            seconds = time.perf_counter() - start
            found.append({"seconds": seconds, "requests": 0.0, "mib": int(done.stderr) / 1024})
        else:
            child = [sys.executable, __file__, name, url]
            found.append(json.loads(subprocess.run(child, check=True, stdout=subprocess.PIPE).stdout))
        if "://" in url:
            found[-1]["requests"] = server.requests - before
            found[-1]["requests"] /= FOLDING if name == "publish" else 1
    return min(found, key=lambda each: each["seconds"])


def show(title: str, rows: Sequence[tuple[str, str, dict[str, float]]]) -> None:
    """A Markdown table."""
    print(f"\n| {title} | where | seconds | requests | MiB |\n| --- | --- | ---: | ---: | ---: |")
    for what, where, found in rows:
        requests, mib = (f"{found[name]:.0f}" if found[name] else "" for name in ("requests", "mib"))
        print(f"| {what} | {where} | {found['seconds']:.2f} | {requests} | {mib} |", flush=True)


@contextmanager
def places(server: Server, folder: Path, name: str) -> Iterator[dict[str, str]]:
    """A store on disk and one in a bucket, by where they are."""
    bucket = f"s3://{name}"
    make_bucket(bucket)
    yield {
        "disk": str(folder / name),
        "bucket": f"{bucket}/store",
        "bucket, 20 ms a request": f"{bucket}/store",
    }
    server.delay = 0.0


def of_runs(server: Server, folder: Path, counts: Sequence[int]) -> None:
    """Print what reading and publishing cost."""
    for count in counts:
        rows = []
        with places(server, folder, f"runs-{count}") as stores:
            for url in dict.fromkeys(stores.values()):
                write_runs(Store.open(url, create=True), count)
            for where, url in stores.items():
                server.delay = DELAY if "ms" in where else 0.0
                for title, name in (
                    ("`spade results`", "command"),
                    ("its reads", "latest"),
                    ("history", "history"),
                ):
                    rows.append((title, where, measure(server, name, url)))
                rows.append(("publish a run", where, measure(server, "publish", url, 1)))
        show(f"{count:,} runs", rows)


def of_images(server: Server, folder: Path, counts: Sequence[int]) -> None:
    """Print what opening features costs."""
    for count in counts:
        rows = []
        with places(server, folder, f"images-{count}") as stores:
            for url in dict.fromkeys(stores.values()):
                write_records(Store.open(url, create=True), count, merged=True)
            for where, url in stores.items():
                server.delay = DELAY if "ms" in where else 0.0
                rows.append(("open features", where, measure(server, "features", url)))
        if count == 100_000:
            plain = str(folder / "plain")
            write_records(Store.open(plain, create=True), count, merged=False)
            rows.append(("open before merging", "disk", measure(server, "features", plain)))
            rows.append(("merge", "disk", measure(server, "merge", plain, 1)))
        show(f"{count:,} images", rows)


def main() -> None:
    """Print the tables; with arguments, do one measured work."""
    if len(sys.argv) == 3 and sys.argv[1] in ("latest", "history", "publish", "features", "merge"):
        print(json.dumps(work(*sys.argv[1:])))
        return
    server = Server()
    with serving(server) as url, tempfile.TemporaryDirectory() as name:
        os.environ.update(ENVIRONMENT | {"AWS_ENDPOINT_URL": url})
        wanted = sys.argv[1:] or ["runs", "images"]
        if "runs" in wanted:
            of_runs(server, Path(name), RUNS)
        if "images" in wanted:
            of_images(server, Path(name), IMAGES)
        if "equal" in wanted:
            import equal_nights

            equal_nights.main(Path(name))


if __name__ == "__main__":
    main()
