"""How commands run a flow: its progress on the screen, then its tables; errors as one line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from cyclopts import CycloptsError

from storage.errors import DatasetError, StoreError
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError

if TYPE_CHECKING:
    from storage.datasets.registry import Registration

R = TypeVar("R")

_AT_FIRST_CALL = ("prefect.flow_engine", "prefect.task_engine", "fastapi", "pandas")  # by Prefect and pyarrow


def resolved(
    name: str, registry: str, categories: list[str] | None, layout: str | None = None
) -> Registration:
    """What a user calls by this name, with those of its categories that are asked for."""
    from storage.datasets.registry import resolve

    named = resolve(name, registry, layout)
    return replace(named, categories=tuple(categories)) if categories else named


def run_flow(
    named: Registration,
    store: str,
    configuration: Configuration,
    *,
    load: Callable[[], Callable[..., str]] | None = None,
    show: Callable[[str, str], None] | None = None,
    verbose: bool,
    **settings: Any,
) -> int:
    """Run a flow with progress on the screen, then show its tables; the exit code: 1 of a partial run.

    The flow is `evaluate` and the tables are those of its run, unless `load` and `show` say otherwise; `load`
    imports the flow.
    """
    from flows.cli.screen.runs import print_report
    from storage.datasets.dataset import find_categories

    find_categories(named.dataset, named.categories)  # before the seconds that Prefect and torch take
    with ready(load or _evaluate, verbose=verbose) as flow:
        from flows.evaluate import IncompleteRunError

        incomplete = None
        try:
            run_id = flow(
                root=named.dataset,
                store=store,
                configuration=configuration,
                categories=named.categories,
                **settings,
            )
        except IncompleteRunError as error:
            run_id, incomplete = error.run_id, error
    (show or print_report)(store, run_id)
    if incomplete is not None:
        print(f"error: {incomplete}", file=sys.stderr)
        return 1
    return 0


def _evaluate() -> Callable[..., str]:
    from flows.evaluate import evaluate

    return evaluate


@contextmanager
def ready(load: Callable[[], Callable[..., R]], *, verbose: bool) -> Iterator[Callable[..., R]]:
    """A flow that can be called, with its progress on the screen or, with `verbose`, Prefect's log.

    `load` imports it while a server starts, where Prefect's settings name none.
    """
    from flows.cli.screen.progress import progress_display
    from flows.cli.temporary_server import start_server

    configure_prefect(verbose=verbose)
    server = start_server()
    with progress_display(enabled=not verbose):
        with importing():
            flow = load()
            for name in _AT_FIRST_CALL:
                import_module(name)
        with server.used() if server is not None else nullcontext():
            yield flow


@contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage while modules are imported: there is none, and to look takes a fifth longer."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def configure_prefect(*, verbose: bool) -> None:
    """Settings that Prefect reads when it is imported; what the user has set stays."""
    settings = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "spade",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "INFO" if verbose else "CRITICAL",
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)


@contextmanager
def errors() -> Iterator[None]:
    """What the user can mend is one line on stderr and exit code 2."""
    try:
        yield
    except (ConfigurationError, CycloptsError, DatasetError, StoreError) as error:
        print("error:", " ".join(str(error).split("\n")), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
