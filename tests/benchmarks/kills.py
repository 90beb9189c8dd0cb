"""Kill -9 at random moments: nothing is lost, nothing done twice, nothing half visible.

    python tests/benchmarks/kills.py [KILLS [SEED]]

Each kill has a store that has seen a night, and a process that evaluates another night (its features, scores
and publication), merges records, prunes, or prunes beside one that evaluates. A process is killed at a moment
drawn from the span that the work takes, then the same work is done again: the tables must be those of a store
in which nothing was killed, byte for byte, and no batch that was recorded may be computed again. Processes
are forks of this one, and call the steps of the flows without Prefect's engine: to start takes them no time.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from tiny import write_category

from flows import evaluate as evaluate_module
from flows.evaluate import evaluate
from storage.datasets.retention import Retention
from storage.repair import examine
from storage.results.reader import Results
from storage.space.prune import prune
from storage.store import records
from storage.store.segments import Segments
from storage.store.store import Store
from storage.tidy import merge_records
from tasks.core.config import Configuration
from tasks.step import Step

KILLS = 100
POLICY = Retention(nights=1, weeks=0, months=0, days=1)
LATER = time.time() + 100 * 86_400
TABLES = ("categories", "summary", "images", "neighbors", "manifest", "kinds", "drift")
UNFINISHED = "it was never finished"  # of `examine`: without a record, it counts for nothing
WORKS = ("evaluate", "evaluate", "merge", "prune", "beside")


class _Done:
    """What was submitted, and ended at once."""

    def __init__(self, result: Any) -> None:
        self.result = lambda: result


def without_engine() -> None:
    """Let steps be functions, small records many, and no summary be sent to a server."""
    Step.__call__ = lambda self, *args, **more: self.fn(*args, **more)  # type: ignore[method-assign]
    Step.submit = lambda self, *args, **more: _Done(self.fn(*args, **more))  # type: ignore[method-assign, assignment]
    vars(evaluate_module)["publish_summary"] = bool
    records._MANY = 4
    logging.disable()


class Bench:
    """A dataset, the same after its images changed, and how a night on it is evaluated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, train in (("before", 8), ("after", 11)):
            write_category(folder / name / "tiny", "thing", train=train, normal=6, anomalous=7)
        torch.manual_seed(0)
        weights = folder / "resnet18.pth"
        torch.save(torchvision.models.resnet18().state_dict(), weights)
        self.configuration = Configuration(
            backbone="resnet18", weights=str(weights), metric_resolution=64, sigma=1.0, dtype="float32"
        )

    def night(self, store: Path, name: str) -> None:
        """Evaluate a night, as `spade evaluate` does it."""
        root = str(self.folder / name / "tiny")
        methods = ["dn2(k=1)", "padim(levels=(16,), dimensions=5)"]
        evaluate.fn(
            root, str(store), self.configuration, run_id=name, device="cpu", batch_size=2, methods=methods
        )

    def work(self, store: Path, what: str) -> None:
        """One of the works."""
        if what == "evaluate":
            self.night(store, "after")
        elif what == "merge":
            merge_records(Store.open(store), ["after"])
        else:
            prune(Store.open(store), POLICY, LATER)


def forked(work: Callable[[], object]) -> int:
    """The id of a process that does this work, and ends with 0 if it ended."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        work()
        code = 0
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(process: int) -> int:
    """The code that a process ended with; negative if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def finish(work: Callable[[], object]) -> float:
    """Do some work in a process; seconds."""
    start = time.perf_counter()
    if ended(forked(work)) != 0:
        raise RuntimeError("a work that was not killed failed")
    return time.perf_counter() - start


def rows(store: Store) -> dict[str, Counter[str]]:
    """How often each image is recorded, by group of segments."""
    groups = [*store.entries(store.features()), *store.entries(store.scores()), store.looks()]
    return {
        str(group.name): Counter(key for keys in Segments(store, group).keys().values() for key in keys)
        for group in groups
    }


def tables(store: Path) -> dict[str, bytes]:
    """The tables of the second night that do not hold times."""
    return {name: (Path(Results(store).folder("after")) / f"{name}.parquet").read_bytes() for name in TABLES}


def check_visible(store: Path) -> None:
    """Raise if a run that is listed cannot be read as a whole."""
    results = Results(store)
    for run in results.runs()["run"]:
        for name in (*TABLES, "stages", "comparisons", "changes"):
            results.rows(name, run)


def check(condition: bool, what: str) -> None:
    """Raise if it does not hold."""
    if not condition:
        raise AssertionError(what)


def main() -> None:
    """Kill, do it again, compare."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    print(f"seed {seed}", flush=True)
    without_engine()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        stages = {what: Path(name) / f"at-{what}" for what in ("evaluate", "merge", "prune", "end")}
        Store.open(stages["evaluate"], create=True)
        finish(lambda: bench.night(stages["evaluate"], "before"))
        spans = {}
        order = list(stages)
        for what, following in pairwise(order):
            shutil.copytree(stages[what], stages[following])
            spans[what] = finish(lambda what=what, at=following: bench.work(stages[at], what))  # type: ignore[misc]
        spans["beside"] = spans["evaluate"]
        expected, at_end = tables(stages["end"]), {*rows(Store.open(stages["end"]))}
        computed = Results(stages["end"]).stages("after").groupby("step")["computed"].sum()
        print("spans, s:", {what: round(span, 2) for what, span in spans.items()}, flush=True)
        tally: Counter[str] = Counter()
        number = hits = 0
        while hits < count:
            number += 1
            what = chance.choice(WORKS)
            at = "evaluate" if what == "beside" else what
            store = Path(shutil.copytree(stages[at], f"{name}/{number}"))
            before = rows(Store.open(store))
            victim = forked(lambda: bench.work(store, at))  # noqa: B023
            moment = chance.uniform(0, spans[what])
            if what == "beside":  # one prunes; either of them is killed
                time.sleep(moment / 2)
                pruner = forked(lambda: bench.work(store, "prune"))  # noqa: B023
                time.sleep(moment / 2)
                killed, other = chance.sample([victim, pruner], 2)
                os.kill(killed, signal.SIGKILL)
                codes = ended(killed), ended(other)
                check(codes[1] == 0, "the one beside failed")
                hit = codes[0] < 0
            else:
                time.sleep(moment)
                os.kill(victim, signal.SIGKILL)
                hit = ended(victim) < 0
            hits += hit
            if not hit:  # it was quicker than when it was measured
                spans[what] = max(moment, 0.1)
            tally[f"{what}, {'killed' if hit else 'had ended'}"] += 1
            check_visible(store)
            opened = Store.open(store)
            left = rows(opened)
            if what == "evaluate":
                check(all(found <= left[group] for group, found in before.items()), "something is lost")
            published = "after" in set(Results(store).runs()["run"])
            finish(lambda: bench.night(store, "after"))  # noqa: B023
            if not published and what == "evaluate":
                again = Results(store).stages("after").groupby("step")["computed"].sum()
                used = sum(left[group].total() - before[group].total() for group in features(opened))
                check(again["extract"] == computed["extract"] - used, "features done twice")
                tally["images whose features were used"] += used
            for each in ("merge", "prune"):
                finish(lambda each=each: bench.work(store, each))  # type: ignore[misc]  # noqa: B023
            check(tables(store) == expected, "the tables are others")
            final = rows(opened)
            check({*final} == at_end, "other groups are left")
            check(all(times == 1 for found in final.values() for times in found.values()), "done twice")
            found = [finding.reason for finding in examine(opened)]
            check({*found} <= {UNFINISHED}, f"something is damaged: {found}")
            tally["segments without a record, left for repair"] += len(found)
            shutil.rmtree(store)
        for what, times in sorted(tally.items()):
            print(f"{times:4} {what}")
        print(f"{count} kills: nothing lost, nothing done twice, nothing half visible")


def features(store: Store) -> set[str]:
    """The feature keys."""
    return {group.name for group in store.entries(store.features())}


if __name__ == "__main__":
    main()
