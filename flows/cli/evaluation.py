"""Commands that evaluate a dataset, or say what that would take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from flows.cli.options import (
    BatchSize,
    Categories,
    Device,
    Format,
    Memory,
    Methods,
    PresetOption,
    RegistryOption,
    RootArgument,
    StoreOption,
    Verbose,
    configured,
)
from flows.cli.running import configure_prefect, errors, resolved, run_flow
from storage.store.location import DEFAULT_REGISTRY
from storage.store.store import DEFAULT_STORE, Store
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.job import DEFAULT_MEMORY_GIB
from tasks.methods import presets


@configured
def evaluate(
    *,
    root: RootArgument,
    category: Categories = None,
    preset: PresetOption = "paper",
    method: Methods = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Memory = DEFAULT_MEMORY_GIB,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run; the same name continues an interrupted run.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Score and evaluate a dataset; what the store already has is not computed again."""
    run_flow(
        resolved(root, registry, category),
        store,
        configuration,
        methods=tuple(method or presets.preset(preset).methods),
        run_id=run_id,
        device=device,
        batch_size=batch_size,
        memory_gib=memory,
        verbose=verbose,
    )


@configured
def sweep(
    *,
    root: RootArgument,
    category: Categories = None,
    k: Annotated[list[int] | None, typer.Option(help="Both of --k-image and --k-gallery.")] = None,
    k_image: Annotated[list[int] | None, typer.Option(help="Neighbours in the image score.")] = None,
    k_gallery: Annotated[list[int] | None, typer.Option(help="Images in the gallery.")] = None,
    kappa: Annotated[list[int] | None, typer.Option(help="Nearest patches in the pixel score.")] = None,
    level: Annotated[
        list[str] | None, typer.Option("--levels", help="Strides of the levels matched, as 4,8,16.")
    ] = None,
    fusion: Annotated[list[str] | None, typer.Option(help="concatenate or average.")] = None,
    upsampling: Annotated[list[str] | None, typer.Option(help="bilinear or nearest.")] = None,
    distance: Annotated[list[str] | None, typer.Option(help="squared or euclidean.")] = None,
    sigma: Annotated[list[float] | None, typer.Option(help="Gaussian filter, pixels.")] = None,
    gallery: Annotated[list[str] | None, typer.Option(help="nearest or random.")] = None,
    gallery_seed: Annotated[list[int] | None, typer.Option(help="Of a random gallery.")] = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Memory = DEFAULT_MEMORY_GIB,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the sweep; the same name continues an interrupted sweep.")
    ] = None,
    format: Annotated[Format, typer.Option(help="For people, or all columns for machines.")] = Format.table,
    verbose: Verbose = False,
) -> None:
    """Evaluate a grid: every combination of the settings that are repeated. Each point becomes a run."""
    from flows.cli.screen.runs import print_sweep
    from tasks.core.grid import grid

    axes = {
        "k": k,
        "k_image": k_image,
        "k_gallery": k_gallery,
        "kappa": kappa,
        "levels": [_strides(text) for text in level or ()],
        "fusion": fusion,
        "upsampling": upsampling,
        "distance": distance,
        "sigma": sigma,
        "gallery": gallery,
        "gallery_seed": gallery_seed,
    }
    given: dict[str, Any] = {name: values for name, values in axes.items() if values}
    grid(configuration, given)  # what is wrong is said before the seconds that torch takes

    def start(**settings: Any) -> str:
        from flows.sweep import sweep as run_sweep

        return str(run_sweep(axes=given, **settings))

    run_flow(
        resolved(root, registry, category),
        store,
        configuration,
        start=start,
        show=partial(print_sweep, style=format),
        run_id=run_id,
        device=device,
        batch_size=batch_size,
        memory_gib=memory,
        verbose=verbose,
    )


def _strides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(stride) for stride in text.split(","))
    except ValueError:
        raise ConfigurationError(
            f"levels is {text!r}: name strides with commas between them, as 4,8,16"
        ) from None


_OPEN = ("backbone", "weights", "upsampling", "gallery_seed", "dtype", "precision")


@partial(configured, names=_OPEN)  # what else there is, the paper says
def reproduce(
    *,
    root: RootArgument,
    category: Categories = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Memory = DEFAULT_MEMORY_GIB,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the sweep; the same name continues an interrupted one.")
    ] = None,
    format: Annotated[Format, typer.Option(help="For people, or all columns for machines.")] = Format.table,
    verbose: Verbose = False,
) -> None:
    """Run the paper's protocol and show its tables with ours beside them, and what is missing.

    Of MVTec AD tables 1, 2, 3, 6 and 7; of ShanghaiTech Campus (training/frames, testing/frames) 4 and 5.
    """
    from flows.cli.screen.reproduction import print_reproduction

    def start(**settings: Any) -> str:
        from flows.reproduce import reproduce as reproduce_paper

        return str(reproduce_paper(**settings))

    named = resolved(root, registry, category)
    run_flow(
        replace(named, dataset=named.dataset.recognised()),
        store,
        configuration,
        start=start,
        show=partial(print_reproduction, style=format),
        run_id=run_id,
        device=device,
        batch_size=batch_size,
        memory_gib=memory,
        verbose=verbose,
    )


@configured
def plan(
    *,
    root: RootArgument,
    category: Categories = None,
    preset: PresetOption = "paper",
    method: Methods = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what `spade evaluate` would still compute, and about how long it takes; nothing is written."""
    from flows.cli.screen.datasets import print_plan
    from flows.cli.screen.progress import progress_display
    from storage.datasets.dataset import find_categories
    from tasks.job import Request

    named = resolved(root, registry, category)
    find_categories(named.dataset, named.categories)  # before the seconds that torch takes
    request = Request(
        named.dataset,
        store,
        configuration,
        named.categories,
        device=device,
        batch_size=batch_size,
        methods=tuple(method or presets.preset(preset).methods),
    )
    configure_prefect(verbose=False)
    with progress_display(enabled=True):
        from tasks.run.plan import plan as plan_run

        planned = plan_run(request)
    print_plan(planned)


def demo(store: StoreOption = DEFAULT_STORE, verbose: Verbose = False) -> None:
    """Draw a small dataset and evaluate it with EfficientNet-Lite0; needs no network."""
    with errors():
        from flows.cli.screen.progress import progress_display
        from flows.cli.screen.runs import print_page
        from storage.datasets.dataset import Dataset
        from storage.datasets.registry import Registration
        from tasks.demo import draw_dataset

        with progress_display(enabled=not verbose):
            root = draw_dataset(Store.open(store, create=True))
        configuration = Configuration(backbone="tf_efficientnet_lite0")
        run_flow(Registration(Dataset.at(root)), store, configuration, verbose=verbose)
        from tasks.report.build import write_report

        with progress_display(enabled=not verbose):
            page = write_report(store)
        print_page(page)


def inspect(
    root: RootArgument,
    category: Categories = None,
    every: Annotated[bool, typer.Option("--all", help="Name every file, not one of each kind.")] = False,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what a dataset holds and what is wrong with it; nothing is computed or written."""
    with errors():
        from flows.cli.screen.datasets import inspect_dataset

        inspect_dataset(resolved(root, registry, category), store, every=every)
