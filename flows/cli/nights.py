"""Commands of what is registered: every night, after a change, against the night before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.computing import Workers
from flows.cli.options import (
    DEFAULT_REGISTRY,
    DEFAULT_STORE,
    FormatOption,
    RegistryOption,
    Run,
    StoreOption,
    Tolerance,
    Verbose,
    Verify,
)
from flows.cli.running import configure_prefect, ready
from tasks.core.config import DEFAULT_TOLERANCE

if TYPE_CHECKING:
    from flows.registered import RegisteredRun


def nightly(
    *,
    dataset: Annotated[list[str] | None, Parameter(help="Only this dataset; repeatable.")] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    when_busy: Annotated[
        str, Parameter(help="leave or wait, while another nightly works on the store.")
    ] = "leave",
    tolerance: Annotated[
        Tolerance | None,
        Parameter(help="Of each metric of the registry's [gate], in place of what stands there."),
    ] = None,
    verify: Verify = False,
    drift_fails: Annotated[
        bool, Parameter(help="Exit code 1 also if normal test images are not like the training images.")
    ] = False,
    workers: Workers = Workers(),  # noqa: B008 (frozen)
    verbose: Verbose = False,
) -> int:
    """Evaluate every registered dataset; exit code 1 if one failed or a metric got worse."""
    from flows.cli.screen.runs import print_registered
    from storage.datasets.registry import read_registry

    def load() -> Callable[..., list[RegisteredRun]]:
        from flows.nightly import nightly as evaluate_night

        return evaluate_night

    read_registry(registry)  # before the seconds that Prefect takes
    return _run_registered(
        load,
        print_registered,
        store,
        registry=registry,
        datasets=tuple(dataset or ()),
        when_busy=when_busy,
        tolerance=tolerance,
        verify=verify,
        drift_fails=drift_fails,
        verbose=verbose,
        **asdict(workers),
    )


def reprocess(
    dataset: Annotated[str, Parameter(help="A registered dataset.")],
    /,
    *,
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    verify: Verify = False,
    workers: Workers = Workers(),  # noqa: B008 (frozen)
    verbose: Verbose = False,
) -> int:
    """Evaluate a registered dataset whose images changed; only what is new or affected is computed."""
    from flows.cli.screen.runs import print_changes
    from storage.datasets.registry import read_registry

    def load() -> Callable[..., list[RegisteredRun]]:
        from flows.reprocess import reprocess as evaluate_again

        return evaluate_again

    read_registry(registry).entry(dataset)
    return _run_registered(
        load,
        print_changes,
        store,
        registry=registry,
        dataset=dataset,
        verify=verify,
        verbose=verbose,
        **asdict(workers),
    )


def _run_registered(
    load: Callable[[], Callable[..., list[RegisteredRun]]],
    show: Callable[[str, Sequence[RegisteredRun]], None],
    store: str,
    *,
    verbose: bool,
    **settings: Any,
) -> int:
    """Run a flow with progress on the screen, and show how its runs ended; exit code 1 if one is bad."""
    with ready(load, verbose=verbose) as flow:
        from flows.registered import BadRunsError

        failure = None
        runs: Sequence[RegisteredRun]
        try:
            runs = flow(store=store, **settings)
        except BadRunsError as error:
            runs, failure = error.runs, error
    show(store, runs)
    if failure is not None:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def compare(
    run: Run = "latest",
    reference: Annotated[
        str | None, Parameter(help="The run to compare it with. Default: the last good one before it.")
    ] = None,
    /,
    *,
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> int:
    """Compare each metric of a run with another's, on the same images; exit code 1 if any is worse."""
    from flows.cli.screen.tables import print_rows
    from storage.results.metrics import default_gate
    from storage.results.reader import Results
    from storage.store.store import Store
    from tasks.compare.runs import compare as compare_runs
    from tasks.compare.runs import is_worse

    run_id = Results(store).resolve(run)
    found = compare_runs(Store.open(store), run_id, reference, gate=default_gate(tolerance))
    print_rows([{"run": run_id, **row} for row in found.to_pylist()], "comparisons", format)
    return int(is_worse(found))


def accept(run: Run, /, *, store: StoreOption = DEFAULT_STORE) -> None:
    """Accept what got worse in a run: later runs are compared with it."""
    from storage.results.reader import Results
    from storage.results.runs import accept as accept_run
    from storage.store.store import Store

    run_id = Results(store).resolve(run)
    accept_run(Store.open(store), run_id)
    print(f"later runs are compared with {run_id}")


def serve(
    *,
    cron: Annotated[
        str, Parameter(help="When nightly runs, in UTC: minute, hour, day, month, weekday.")
    ] = "0 2 * * *",
    watch_every: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1),
            help="Minutes between looks for changed images, which are reprocessed. Default: none.",
        ),
    ] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, Parameter(help="Of the Prefect server that is started on loopback.")] = 4200,
) -> None:
    """Run nightly by its schedule on this machine, and look for changed images, until interrupted.

    Starts a Prefect server; with PREFECT_API_URL set, that one is used.
    """
    from flows.cli.local_server import local_server
    from storage.store.location import location

    registry, store = str(location(registry)), str(location(store))  # a run may start in another folder
    configure_prefect(verbose=True)
    with ExitStack() as stack:
        if "PREFECT_API_URL" not in os.environ:
            print("starting a Prefect server", flush=True)
            os.environ["PREFECT_API_URL"] = stack.enter_context(local_server(port))
        from flows.serve import serve as serve_flows

        serve_flows(cron, registry, store, watch_every)
