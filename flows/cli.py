"""The command `spade`. Only what a command needs is imported: reading results must not wait for torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import wraps
from inspect import Signature, signature
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from storage.errors import DatasetError, StoreError
from storage.layout import DEFAULT_STORE, Store
from tasks.core.config import DEFAULT_MEMORY_GIB, STRIDES, Configuration, ConfigurationError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find anomalies in images with nearest neighbours of deep features, and evaluate it.",
)

_DEFAULTS = Configuration()

StoreOption = Annotated[str, typer.Option("--store", envvar="SPADE_STORE", help="Folder of the store.")]
RootArgument = Annotated[
    str, typer.Argument(help="Dataset in the MVTec AD layout: ROOT/CATEGORY/train/good, ...")
]
Categories = Annotated[list[str] | None, typer.Option("--category", help="Only this category; repeatable.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
BatchSize = Annotated[int, typer.Option(help="Images in a forward pass.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")]


class Table(StrEnum):
    """Tables that `spade results` shows."""

    categories = "categories"
    summary = "summary"
    images = "images"
    neighbors = "neighbors"
    runs = "runs"


class Format(StrEnum):
    """How `spade results` writes a table."""

    table = "table"
    csv = "csv"
    json = "json"


def _configuration(
    *,
    backbone: Annotated[
        str, typer.Option(help="A torchvision ResNet by its name, or tf_efficientnet_lite0.")
    ] = _DEFAULTS.backbone,
    weights: Annotated[str | None, typer.Option(help="File of a state dict.")] = None,
    protocol: Annotated[
        str, typer.Option(help="paper: resize 256, centre crop 224. full: the whole image.")
    ] = _DEFAULTS.protocol,
    level: Annotated[
        list[int] | None, typer.Option(help="Stride of a pyramid level to match; repeatable. Default 4 8 16.")
    ] = None,
    k_image: Annotated[int, typer.Option(help="Neighbours in the image score.")] = _DEFAULTS.k_image,
    k_gallery: Annotated[int, typer.Option(help="Nearest images in the gallery.")] = _DEFAULTS.k_gallery,
    kappa: Annotated[int, typer.Option(help="Nearest gallery patches in the pixel score.")] = _DEFAULTS.kappa,
    fusion: Annotated[str, typer.Option(help="concatenate or average.")] = _DEFAULTS.fusion,
    upsampling: Annotated[
        str, typer.Option(help="bilinear or nearest: coarse levels in concatenation.")
    ] = _DEFAULTS.upsampling,
    distance: Annotated[str, typer.Option(help="squared or euclidean: of patches.")] = _DEFAULTS.distance,
    sigma: Annotated[float, typer.Option(help="Gaussian filter, pixels; 0 for none.")] = _DEFAULTS.sigma,
    metric_resolution: Annotated[
        int, typer.Option(help="Side of anomaly maps, pixels.")
    ] = _DEFAULTS.metric_resolution,
    dtype: Annotated[str, typer.Option(help="float16 or float32: stored features.")] = _DEFAULTS.dtype,
    precision: Annotated[
        str, typer.Option(help="float32 or bfloat16: products in the backbone.")
    ] = _DEFAULTS.precision,
) -> Configuration:
    """The configuration that these options name."""
    return Configuration(
        backbone=backbone,
        weights=weights,
        protocol=protocol,  # type: ignore[arg-type]  # checked by Configuration, as all of these
        levels=tuple(level or STRIDES),
        k_image=k_image,
        k_gallery=k_gallery,
        kappa=kappa,
        fusion=fusion,  # type: ignore[arg-type]
        upsampling=upsampling,  # type: ignore[arg-type]
        distance=distance,  # type: ignore[arg-type]
        sigma=sigma,
        metric_resolution=metric_resolution,
        dtype=dtype,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
    )


def _configured(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_configuration` where it declares a `configuration`."""
    declared = signature(_configuration, eval_str=True).parameters
    own = signature(command, eval_str=True).parameters

    @wraps(command)
    def configured(**given: Any) -> None:
        with _errors():
            configuration = _configuration(**{name: given.pop(name) for name in declared})
            command(configuration=configuration, **given)

    shown = [declared.values() if name == "configuration" else [own[name]] for name in own]
    configured.__signature__ = Signature(list(chain(*shown)))  # type: ignore[attr-defined]  # typer reads it
    return configured


@app.command()
@_configured
def evaluate(
    *,
    root: RootArgument,
    category: Categories = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    memory: Annotated[
        float, typer.Option(help="GiB of features kept in memory while scoring.")
    ] = DEFAULT_MEMORY_GIB,
    store: StoreOption = DEFAULT_STORE,
    run_id: Annotated[
        str | None, typer.Option(help="Name of the run; the same name continues an interrupted run.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Score and evaluate a dataset; what the store already has is not computed again."""
    _run(
        root,
        store,
        configuration,
        categories=tuple(category or ()),
        run_id=run_id,
        device=device,
        batch_size=batch_size,
        memory_gib=memory,
        verbose=verbose,
    )


@app.command()
@_configured
def plan(
    *,
    root: RootArgument,
    category: Categories = None,
    configuration: Configuration,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show what `spade evaluate` would still compute, and about how long it takes; nothing is written."""
    from flows.screen import print_plan, progress_display
    from storage.datasets import dataset_root, find_categories

    find_categories(dataset_root(root), category or ())  # before the seconds that torch takes
    _configure_prefect(verbose=False)
    with progress_display(enabled=True):
        from tasks.plan import plan as plan_run

        planned = plan_run(root, store, configuration, category or (), device, batch_size)
    print_plan(planned)


@app.command()
def demo(store: StoreOption = DEFAULT_STORE, verbose: Verbose = False) -> None:
    """Draw a small dataset and evaluate it with EfficientNet-Lite0; needs no network."""
    with _errors():
        from flows.screen import progress_display
        from tasks.demo import draw_dataset

        with progress_display(enabled=not verbose):
            root = draw_dataset(Store.open(store, create=True))
        configuration = Configuration(backbone="tf_efficientnet_lite0")
        _run(str(root), store, configuration, verbose=verbose)


@app.command()
def results(
    run: Annotated[str, typer.Option(help="A run's id, or latest.")] = "latest",
    table: Annotated[Table, typer.Option(help="Which table.")] = Table.categories,
    format: Annotated[Format, typer.Option(help="For people, or all columns for machines.")] = Format.table,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a table of a finished run."""
    with _errors():
        from flows.screen import print_rows
        from storage.results import Results

        print_rows(Results(store).rows(table, run), table, format)


@app.command()
def inspect(root: RootArgument, category: Categories = None, store: StoreOption = DEFAULT_STORE) -> None:
    """Show what a dataset holds and what is wrong with it; nothing is computed or written."""
    with _errors():
        from flows.screen import print_inspection
        from storage.datasets import dataset_root, last_manifest, read_manifest

        known = last_manifest(Store.open(store), dataset_root(root).name) if Path(store).exists() else None
        print_inspection(read_manifest(root, category or (), known=known))


@app.command()
def repair(store: StoreOption = DEFAULT_STORE) -> None:
    """Check every file of the store, and drop what is damaged or unfinished; no run may be under way."""
    with _errors():
        from storage.repair import repair as repair_store

        findings = repair_store(Store.open(store))
        for finding in findings:
            typer.echo(f"dropped {finding.what}: {finding.reason}")
        typer.echo(
            f"{len(findings)} dropped; the next `spade evaluate` computes it anew"
            if findings
            else "all whole"
        )


def _run(
    root: str,
    store: str,
    configuration: Configuration,
    *,
    categories: tuple[str, ...] = (),
    verbose: bool,
    **settings: Any,
) -> None:
    """Run the flow with progress on the screen, then show the tables; a partial run ends with exit code 1."""
    from flows.screen import print_report, progress_display
    from storage.datasets import dataset_root, find_categories

    find_categories(dataset_root(root), categories)  # before the seconds that Prefect and torch take
    _configure_prefect(verbose=verbose)
    with progress_display(enabled=not verbose):
        from flows.evaluate import IncompleteRunError, evaluate

        incomplete = None
        try:
            run_id = evaluate(root, store, configuration, categories, **settings)
        except IncompleteRunError as error:
            run_id, incomplete = error.run_id, error
    print_report(store, run_id)
    if incomplete is not None:
        typer.echo(f"error: {incomplete}", err=True)
        raise typer.Exit(1)


def _configure_prefect(*, verbose: bool) -> None:
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
def _errors() -> Iterator[None]:
    """What the user can mend is one line on stderr and exit code 2."""
    try:
        yield
    except (ConfigurationError, DatasetError, StoreError) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted; the same command goes on from here", err=True)
        sys.exit(130)


if __name__ == "__main__":
    app()
