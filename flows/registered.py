"""Registered datasets with their configurations, evaluated one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flows.automations import inherited
from flows.evaluate import IncompleteRunError, evaluate
from flows.runners import Kind, task_runner
from storage.datasets.registry import Registry
from storage.results.reader import Results
from tasks.compare.runs import counts
from tasks.core.errors import ConfigurationError
from tasks.methods.recipes import registered_recipes
from tasks.progress import LOGGER


@dataclass(frozen=True)
class RegisteredRun:
    """How one dataset and configuration ended.

    Attributes:
        dataset, configuration: their names in the registry.
        run: id of the published run, None if there is none.
        status: "complete", "partial" or "failed".
        worse: metrics of categories that got worse than in the last good run.
        verdicts: how many of them have each verdict.
        drifted: in how many ways normal test images are not like the training images.
        drift_fails: whether that is bad.
        reason: what went wrong, None if nothing did.
    """

    dataset: str
    configuration: str
    run: str | None
    status: str
    worse: int = 0
    verdicts: str = ""
    reason: str | None = None
    drifted: int = 0
    drift_fails: bool = False

    @property
    def is_good(self) -> bool:
        """Whether all of it was evaluated, and nothing got worse, nor drifted where that is bad."""
        return self.status == "complete" and not self.worse and not (self.drifted and self.drift_fails)

    @property
    def complaint(self) -> str:
        """What is not good about it."""
        worse = f"{self.worse} metrics got worse" if self.worse else None
        drifted = f"images drifted in {self.drifted} ways" if self.drifted and self.drift_fails else None
        reasons = [reason for reason in (self.reason, worse, drifted) if reason]
        return f"{self.dataset} {self.configuration}: {', '.join(reasons)}"


class BadRunsError(RuntimeError):
    """Something is not as it should be; what could be evaluated is published."""

    def __init__(self, runs: Sequence[RegisteredRun], bad: Iterable[RegisteredRun]) -> None:
        """Keep all `runs`, and say of the `bad` ones why they are."""
        self.runs = runs
        super().__init__("; ".join(entry.complaint for entry in bad))


def evaluation(
    runner: Kind, dask_address: str | None, parallel: int, memory_gib: float, **settings: Any
) -> Callable[..., str]:
    """The flow `evaluate` with these settings; categories side by side on one machine share its memory.

    Raises:
        ConfigurationError: a value out of its range.
    """
    flow = evaluate.with_options(task_runner=task_runner(runner, parallel, dask_address))
    share = memory_gib / parallel if dask_address is None else memory_gib
    return partial(flow, memory_gib=share, **settings)


def evaluate_registered(
    evaluate: Callable[..., str],
    registry: Registry,
    datasets: Sequence[str],
    store: str,
    prefix: str,
    *,
    drift_fails: bool = False,
) -> Iterator[RegisteredRun]:
    """Evaluate the datasets, or all, with each of their configurations, as runs of that prefix.

    What stops one is its result, and stops no other.
    """
    now = f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for name in sorted(datasets or (registry.entries.keys() | registry.errors.keys())):
        if name in registry.errors:
            LOGGER.error("%s", registry.errors[name])
            yield RegisteredRun(name, "", None, "failed", reason=registry.errors[name])
            continue
        try:
            recipes = registered_recipes(registry, name)
        except ConfigurationError as error:
            LOGGER.error("%s", error)
            yield RegisteredRun(name, "", None, "failed", reason=str(error))
            continue
        registered = registry.entry(name)
        for title, recipe in recipes.items():
            run_id = re.sub(r"[^\w.-]", "_", f"{now}-{name}-{title}", flags=re.ASCII)[:100]
            reason, run = None, None
            try:
                with inherited():
                    run = evaluate(
                        registered.dataset,
                        store,
                        recipe.configuration,
                        registered.categories,
                        run_id,
                        gate=registry.gate,
                        methods=[method.label for method in recipe.methods],
                    )
            except IncompleteRunError as error:
                run, reason = error.run_id, str(error)
            except Exception as error:  # the next entry may be whole
                LOGGER.exception("%s, %s failed", name, title)
                reason = str(error) or type(error).__name__
            yield replace(_entry(store, name, title, run, reason), drift_fails=drift_fails)


def _entry(store: str, name: str, title: str, run: str | None, reason: str | None) -> RegisteredRun:
    if run is None:
        return RegisteredRun(name, title, None, "failed", reason=reason)
    results = Results(store)
    rows = results.rows("comparisons", run)
    worse = sum(row["verdict"] == "worse" for row in rows)
    status, drifted = "partial" if reason else "complete", results.rows("run", run)[0]["drifted"]
    return RegisteredRun(name, title, run, status, worse, counts(rows), reason, drifted)
