"""One category on one worker and on two, of a core each; and what that makes of MVTec AD on many workers.

    python tests/benchmarks/shares.py ROOT CATEGORY

The category is evaluated by EfficientNet-Lite0 on Dask clusters whose workers have imported everything. The
times of its images then go to a scheduler of a few lines: tasks of 15 categories, each begun when what it
needs is done and a worker is free, with a category as the unit and with shares.
"""

from __future__ import annotations

import heapq
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from distributed import Client, LocalCluster

from flows.evaluate import evaluate
from flows.runners import task_runner
from storage.datasets.dataset import Dataset
from storage.datasets.published import PUBLISHED
from storage.results.reader import Results
from storage.store.location import read_bytes
from tasks.core.config import Configuration
from tasks.run.shares import SIZE

TABLES = ("categories", "images", "neighbors", "manifest")


class Task(NamedTuple):
    """Seconds of a task, and the tasks before it, by their places in a list."""

    seconds: float
    after: Sequence[int] = ()


def span(tasks: Sequence[Task], workers: int) -> float:
    """Seconds until all tasks are done, each handed in order to the worker that is free first."""
    free, ended = [0.0] * workers, list[float]()
    for task in tasks:
        start = max([heapq.heappop(free), *(ended[place] for place in task.after)])
        ended.append(start + task.seconds)
        heapq.heappush(free, ended[-1])
    return max(ended)


def of_categories(extract: float, score: float, end: float) -> tuple[list[Task], list[Task]]:
    """The tasks of MVTec AD, given seconds an image and an end: a category each, and in shares."""
    (mvtec,) = (known for known in PUBLISHED if known.title == "MVTec AD")
    whole, phases = list[Task](), list[list[Task]]()
    for counts in mvtec.categories.values():
        tested = counts.test_normal + counts.test_anomalous
        images = counts.train + tested
        whole.append(Task(images * extract + tested * score + end))
        phases.append([Task(extract * SIZE)] * -(-images // SIZE) + [Task(score * SIZE)] * -(-tested // SIZE))
    tasks = list[Task]()
    for shares in phases:  # all extraction first, as nothing else can be begun
        tasks += [task for task in shares if task.seconds == extract * SIZE]
    place = 0
    for shares in phases:
        extracted = range(place, place := place + sum(task.seconds == extract * SIZE for task in shares))
        scored = [task for task in shares if task.seconds == score * SIZE]
        first = len(tasks)
        tasks += [task._replace(after=extracted) for task in scored]
        tasks.append(Task(end, range(first, len(tasks))))
    return whole, tasks


def main(root: str, category: str) -> None:
    """Time the category, compare the tables, and simulate."""
    configuration = Configuration(backbone="tf_efficientnet_lite0")
    found, seconds = dict[int, dict[str, bytes]](), dict[int, float]()
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            with (
                LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,  # type: ignore[no-untyped-call]
            ):
                client.run(warm)
                flow = evaluate.with_options(task_runner=task_runner("dask", 1, cluster.scheduler_address))
                store = f"{folder}/{workers}"
                start = time.perf_counter()
                flow(Dataset.at(root), store, configuration, [category])
                seconds[workers] = time.perf_counter() - start
            results = Results(store)
            found[workers] = {name: read_bytes(results.folder() / f"{name}.parquet") for name in TABLES}
            stages = results.stages().set_index("step")
            print(f"{workers} workers: {seconds[workers]:.1f} s")
            print(stages[["seconds", "computed"]].to_string(float_format="%.2f"))
    print(f"ratio {seconds[2] / seconds[1]:.2f}, tables equal: {found[1] == found[2]}")
    extract, score = (float(stages.seconds[step] / stages.computed[step]) for step in ("extract", "score"))
    whole, shares = of_categories(extract, score, float(stages.seconds["summarize"]))
    for workers in (1, 4, 16, 64):
        by_category, in_shares = span(whole, workers), span(shares, workers)
        print(f"{workers} workers: {by_category:.0f} s by category, {in_shares:.0f} s in shares")


def warm() -> None:
    """Import what the tasks need, on one core, and compile the search."""
    import numpy as np
    import torch

    from tasks.core.matching.matching import match
    from tasks.run import shares  # noqa: F401

    torch.set_num_threads(1)
    pyramid = [np.ones((side, side, 8), np.float32) for side in (8, 4)]
    match(pyramid, [pyramid])


if __name__ == "__main__":
    main(*sys.argv[1:3])
