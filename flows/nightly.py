"""The night: every registered dataset with each of its configurations, and whether anything got worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from prefect import flow

from flows.crashed import recorded
from flows.registered import BadRunsError, RegisteredRun, evaluate_registered, evaluation
from flows.runners import Kind
from flows.told import tell, told
from flows.tracked import track
from storage.datasets.registry import read_registry
from storage.datasets.retention import Retention
from storage.errors import StoreError
from storage.results.metrics import default_gate
from storage.results.runs import publish_interrupted
from storage.space.plan import RUN
from storage.space.prune import prune
from storage.store.location import DEFAULT_REGISTRY
from storage.store.lock import BusyError, exclusive
from storage.store.store import DEFAULT_STORE, Store
from storage.store.under_way import pruning
from storage.tidy import merge_records
from tasks.core.config import DEFAULT_BATCH_SIZE, DEFAULT_MEMORY_GIB
from tasks.core.errors import ConfigurationError
from tasks.markdown import escaped
from tasks.progress import LOGGER
from tasks.run.artifacts import publish_markdown

NAME = "nightly"
WhenBusy = Literal["leave", "wait"]


class BadNightError(BadRunsError):
    """Something failed, got worse, or drifted where that is bad."""


@flow(name=NAME)
def nightly(
    registry: str = DEFAULT_REGISTRY,
    store: str = DEFAULT_STORE,
    datasets: Sequence[str] = (),
    runner: Kind = "threads",
    dask_address: str | None = None,
    parallel: int = 1,
    device: str = "auto",
    batch_size: int = DEFAULT_BATCH_SIZE,
    memory_gib: float = DEFAULT_MEMORY_GIB,
    when_busy: WhenBusy = "leave",
    tolerance: float | None = None,
    verify: bool = False,
    drift_fails: bool = False,
) -> list[RegisteredRun]:
    """Evaluate what is registered, or only the datasets named, and compare it with the last good night.

    What the store has is not computed again, so a night that was interrupted costs the next one nothing.
    One nightly at a time works on a store; another leaves at once with an empty list, or waits. What counts
    as worse is said by the registry's gate; a `tolerance` replaces those that stand there. Normal test images
    that drifted from the training images are warned of, and with `drift_fails` the night is bad. To `verify`
    is to read every file, also those that seem unchanged. Whoever the registry's [notify] names is told how
    the night ended, and its runs are handed to the server of its [mlflow]. At its end goes what the
    registry's [retention] keeps no longer.

    Raises:
        BadNightError: an entry failed, in whole or in part, a metric got worse, or images drifted.
    """
    if when_busy not in ("leave", "wait"):
        raise ConfigurationError(f"when-busy is {when_busy!r}: it is leave or wait")
    evaluate = evaluation(
        runner, dask_address, parallel, memory_gib, device=device, batch_size=batch_size, verify=verify
    )
    known = read_registry(registry)
    if tolerance is not None:
        known = replace(known, gate=dict.fromkeys(known.gate or default_gate(tolerance), tolerance))
    for name in datasets:
        if name not in known.errors:
            known.entry(name)
    with told(known.notify, NAME, store) as entries:
        opened = Store.open(store, create=True)
        try:
            with exclusive(opened, NAME, wait=when_busy == "wait"), recorded(opened, NAME):
                with pruning(opened):
                    interrupted = publish_interrupted(opened, f"{NAME}-")
                if interrupted:
                    for run in interrupted:
                        LOGGER.warning(
                            "run %s was interrupted: what it finished is used, the rest is done now", run
                        )
                    tell(known.notify, NAME, store, interrupted=interrupted)
                entries.extend(
                    evaluate_registered(evaluate, known, datasets, store, NAME, drift_fails=drift_fails)
                )
                merge_records(opened, [entry.run for entry in entries if entry.run is not None])
                if known.retention is not None:
                    _prune(opened, known.retention)
        except BusyError as error:
            LOGGER.warning("%s; this one leaves", error)
            return []
        publish_markdown(NAME, markdown(entries))
        track(known.mlflow, store, entries)
        if bad := [entry for entry in entries if not entry.is_good]:
            raise BadNightError(entries, bad)
    return entries


def _prune(store: Store, retention: Retention) -> None:
    """Remove what is kept no longer; what stops it is logged, and the night is none the worse."""
    try:
        going = prune(store, retention).going
    except StoreError as error:
        LOGGER.error("nothing was pruned: %s", error)
        return
    size = sum(item.size.bytes for item in going) / 2**20
    LOGGER.info("pruned %d runs, %.1f MiB in all", sum(item.kind == RUN for item in going), size)


def markdown(entries: Sequence[RegisteredRun]) -> str:
    """The night as a Markdown document."""
    good = sum(entry.is_good for entry in entries)
    lines = [
        f"# {good} of {len(entries)} good",
        "",
        "| dataset | configuration | status | against the last good run | drifted | run | reason |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in entries:
        drifted = f"{entry.drifted} ways" if entry.drifted else ""
        told = (entry.status, entry.verdicts, drifted, entry.run, entry.reason)
        cells = (entry.dataset, entry.configuration, *told)
        lines.append(f"| {' | '.join(escaped(cell or '') for cell in cells)} |")
    return "\n".join(lines) + "\n"
