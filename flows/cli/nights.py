"""Commands of what is registered: every night, after a change, against the night before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import (
    BatchSize,
    DaskAddress,
    Device,
    Format,
    Memory,
    Parallel,
    RegistryOption,
    Runner,
    StoreOption,
    Verbose,
)
from flows.cli.running import configure_prefect, errors
from storage.store.location import DEFAULT_REGISTRY, location
from storage.store.store import DEFAULT_STORE, Store
from tasks.core.config import DEFAULT_TOLERANCE
from tasks.job import DEFAULT_MEMORY_GIB

if TYPE_CHECKING:
    from flows.registered import RegisteredRun


def nightly(
    dataset: Annotated[list[str] | None, typer.Option(help="Only this dataset; repeatable.")] = None,
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    when_busy: Annotated[
        str, typer.Option(help="leave or wait, while another nightly works on the store.")
    ] = "leave",
    tolerance: Annotated[
        float, typer.Option(min=0, help="Of a metric: a smaller loss is none.")
    ] = DEFAULT_TOLERANCE,
    runner: Runner = "threads",
    dask_address: DaskAddress = None,
    parallel: Parallel = 1,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Memory = DEFAULT_MEMORY_GIB,
    verbose: Verbose = False,
) -> None:
    """Evaluate every registered dataset; exit code 1 if one failed or a metric got worse."""
    from flows.cli.screen.registered import print_registered
    from storage.datasets.registry import read_registry

    def start(**settings: Any) -> list[RegisteredRun]:
        from flows.nightly import nightly as evaluate_night

        return list(evaluate_night(**settings))

    with errors():
        read_registry(registry)  # before the seconds that Prefect takes
        _run_entries(
            start,
            print_registered,
            store,
            registry=registry,
            datasets=tuple(dataset or ()),
            when_busy=when_busy,
            tolerance=tolerance,
            runner=runner,
            dask_address=dask_address,
            parallel=parallel,
            device=device,
            batch_size=batch_size,
            memory_gib=memory,
            verbose=verbose,
        )


def reprocess(
    dataset: Annotated[str, typer.Argument(help="A registered dataset.")],
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    runner: Runner = "threads",
    dask_address: DaskAddress = None,
    parallel: Parallel = 1,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Memory = DEFAULT_MEMORY_GIB,
    verbose: Verbose = False,
) -> None:
    """Evaluate a registered dataset whose images changed; only what is new or affected is computed."""
    from flows.cli.screen.registered import print_changes
    from storage.datasets.registry import read_registry

    def start(**settings: Any) -> list[RegisteredRun]:
        from flows.reprocess import reprocess as evaluate_again

        return list(evaluate_again(**settings))

    with errors():
        read_registry(registry).entry(dataset)
        _run_entries(
            start,
            print_changes,
            store,
            registry=registry,
            dataset=dataset,
            runner=runner,
            dask_address=dask_address,
            parallel=parallel,
            device=device,
            batch_size=batch_size,
            memory_gib=memory,
            verbose=verbose,
        )


def _run_entries(
    start: Callable[..., list[RegisteredRun]],
    show: Callable[[str, Sequence[RegisteredRun]], None],
    store: str,
    *,
    verbose: bool,
    **settings: Any,
) -> None:
    """Run a flow with progress on the screen, and show how its entries ended; exit code 1 if one is bad."""
    from flows.cli.screen.progress import progress_display

    configure_prefect(verbose=verbose)
    with progress_display(enabled=not verbose):
        from flows.registered import BadRunsError

        failure = None
        entries: Sequence[RegisteredRun]
        try:
            entries = start(store=store, **settings)
        except BadRunsError as error:
            entries, failure = error.runs, error
    show(store, entries)
    if failure is not None:
        typer.echo(f"error: {failure}", err=True)
        raise typer.Exit(1)


def compare(
    run: Annotated[str, typer.Argument(help="A run's id, or latest.")] = "latest",
    reference: Annotated[
        str | None,
        typer.Argument(help="The run to compare it with.", show_default="the last good one before it"),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="A smaller difference is none.")
    ] = DEFAULT_TOLERANCE,
    format: Annotated[Format, typer.Option(help="For people, or for machines.")] = Format.table,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare each metric of a run with another's, on the same images; exit code 1 if any is worse."""
    with errors():
        from flows.cli.screen.tables import print_rows
        from storage.results.reader import Results
        from tasks.compare.runs import compare as compare_runs
        from tasks.compare.runs import is_worse

        run_id = Results(store).resolve(run)
        found = compare_runs(Store.open(store), run_id, reference, tolerance=tolerance)
        print_rows([{"run": run_id, **row} for row in found.to_pylist()], "comparisons", format)
        if is_worse(found):
            raise typer.Exit(1)


def accept(
    run: Annotated[str, typer.Argument(help="A run's id, or latest.")], store: StoreOption = DEFAULT_STORE
) -> None:
    """Take what got worse in a run for granted: later runs are compared with it."""
    with errors():
        from storage.results.reader import Results
        from storage.results.reader import accept as accept_run

        run_id = Results(store).resolve(run)
        accept_run(Store.open(store), run_id)
        typer.echo(f"later runs are compared with {run_id}")


def serve(
    cron: Annotated[
        str, typer.Option(help="When nightly runs, in UTC: minute, hour, day, month, weekday.")
    ] = "0 2 * * *",
    registry: RegistryOption = DEFAULT_REGISTRY,
    store: StoreOption = DEFAULT_STORE,
    port: Annotated[int, typer.Option(help="Of the Prefect server that is started on loopback.")] = 4200,
) -> None:
    """Run nightly by its schedule on this machine, until interrupted.

    Starts a Prefect server; with PREFECT_API_URL set, that one is used.
    """
    with errors():
        from flows.cli.local_server import local_server

        registry, store = str(location(registry)), str(location(store))  # a run may start in another folder
        configure_prefect(verbose=True)
        with ExitStack() as stack:
            if "PREFECT_API_URL" not in os.environ:
                typer.echo("starting a Prefect server")
                os.environ["PREFECT_API_URL"] = stack.enter_context(local_server(port))
            from flows.serve import serve as serve_flows

            serve_flows(cron, registry, store)
