"""Commands of what takes space, and what of it may go."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from flows.cli.options import (
    DEFAULT_REGISTRY,
    DEFAULT_STORE,
    FormatOption,
    RegistryOption,
    Run,
    StoreOption,
)


def usage(
    *,
    registry: RegistryOption = DEFAULT_REGISTRY,
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what takes space, by dataset, backbone and kind, and what of it prune would remove."""
    from flows.cli.screen.space import print_usage
    from storage.datasets.registry import retention_of
    from storage.space.plan import plan
    from storage.store.store import Store

    print_usage(plan(Store.open(store), retention_of(registry)), format)


def prune(
    *,
    apply: Annotated[bool, Parameter(help="Remove it. Default: say what would go.")] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Remove runs that the registry's [retention] keeps no longer, and what no kept run needs.

    Runs that are the latest or the last good ones, accepted or pinned stay, with all that they need.
    """
    from flows.cli.screen.space import print_plan
    from storage.datasets.registry import retention_of
    from storage.space.plan import plan
    from storage.space.prune import prune as prune_store
    from storage.store.store import Store

    retention, opened = retention_of(registry), Store.open(store)
    found = (prune_store if apply else plan)(opened, retention)
    print_plan(found, retention, format, applied=apply)


def pin(
    run: Run,
    /,
    *,
    why: Annotated[str | None, Parameter(help="For whoever wants the space.")] = None,
    remove: Annotated[bool, Parameter(help="Let the run go again as others do.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Keep a run and all that it needs for good, whatever [retention] says."""
    from storage.results.reader import Results
    from storage.results.runs import pin as pin_run
    from storage.results.runs import unpin
    from storage.store.store import Store
    from tasks.core.errors import ConfigurationError

    if (why is None) == (not remove):
        raise ConfigurationError("say --why the run is pinned, or --remove its pin")
    run_id, opened = Results(store).resolve(run), Store.open(store)
    if why is None:
        unpin(opened, run_id)
        print(f"{run_id} is pinned no longer")
    else:
        pin_run(opened, run_id, why)
        print(f"{run_id} and all that it needs is kept: {why}")
