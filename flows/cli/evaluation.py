"""Commands that evaluate a dataset, or say what that would take."""

from __future__ import annotations

from dataclasses import asdict

from flows.cli.computing import Machine, Worker
from flows.cli.options import (
    DEFAULT_REGISTRY,
    DEFAULT_STORE,
    Categories,
    LayoutOption,
    RegistryOption,
    Root,
    RunId,
    StoreOption,
    Verbose,
    Verify,
)
from flows.cli.running import importing, resolved, run_flow
from flows.cli.settings import Methods, Preset, Settings


def evaluate(
    root: Root,
    /,
    *,
    category: Categories = None,
    layout: LayoutOption = None,
    preset: Preset = "paper",
    method: Methods = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    worker: Worker = Worker(),  # noqa: B008 (frozen)
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: RunId = None,
    verify: Verify = False,
    verbose: Verbose = False,
) -> int:
    """Score and evaluate a dataset; what the store already has is not computed again."""
    from tasks.methods.recipes import recipe

    chosen = recipe(settings.values(), method or (), preset)
    return run_flow(
        resolved(root, registry, category, layout),
        store,
        chosen.configuration,
        methods=[each.label for each in chosen.methods],
        run_id=run_id,
        verify=verify,
        verbose=verbose,
        **asdict(worker),
    )


def plan(
    root: Root,
    /,
    *,
    category: Categories = None,
    layout: LayoutOption = None,
    preset: Preset = "paper",
    method: Methods = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    machine: Machine = Machine(),  # noqa: B008 (frozen)
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what `spade evaluate` would still compute, and about how long it takes; nothing is written."""
    from flows.cli.screen.datasets import print_plan
    from flows.cli.screen.progress import progress_display
    from storage.datasets.dataset import find_categories
    from tasks.job import Request
    from tasks.methods.recipes import recipe

    chosen = recipe(settings.values(), method or (), preset)
    named = resolved(root, registry, category, layout)
    find_categories(named.dataset, named.categories)  # before the seconds that torch takes
    request = Request(
        named.dataset,
        store,
        chosen.configuration,
        chosen.methods,
        named.categories,
        **asdict(machine),
    )
    with progress_display(enabled=True):
        with importing():
            from tasks.run.plan import plan as plan_run

        planned = plan_run(request)
    print_plan(planned)


def demo(
    *,
    store: StoreOption = DEFAULT_STORE,
    verbose: Verbose = False,
) -> int:
    """Draw a small dataset and evaluate it with EfficientNet-Lite0; needs no network."""
    from flows.cli.screen.progress import progress_display
    from flows.cli.screen.runs import print_page
    from storage.datasets.dataset import Dataset
    from storage.datasets.registry import Registration
    from storage.store.store import Store
    from tasks.core.config import Configuration
    from tasks.demo import draw_dataset

    with progress_display(enabled=not verbose):
        root = draw_dataset(Store.open(store, create=True))
    configuration = Configuration(backbone="tf_efficientnet_lite0")
    code = run_flow(Registration(Dataset.at(root)), store, configuration, verbose=verbose)
    if code:
        return code
    with progress_display(enabled=not verbose):
        with importing():
            from tasks.report.build import write_report

        page = write_report(store)
    print_page(page)
    return 0
