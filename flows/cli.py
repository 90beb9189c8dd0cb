"""The command `spade`. Only what a command needs is imported: reading results must not wait for torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import partial, wraps
from inspect import Signature, signature
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storage.errors import DatasetError, StoreError
from storage.layout import DEFAULT_STORE, Store
from storage.location import DEFAULT_REGISTRY, location
from storage.schemas import SPADE
from tasks.core.config import (
    DEFAULT_MEMORY_GIB,
    DEFAULT_TOLERANCE,
    Configuration,
    ConfigurationError,
)

if TYPE_CHECKING:
    from storage.registry import Registration

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find anomalies in images with nearest neighbours of deep features, and evaluate it.",
)

_DEFAULTS = Configuration()

StoreOption = Annotated[
    str, typer.Option("--store", envvar="SPADE_STORE", help="Folder or s3:// URL of the store.")
]
RootArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATASET", help="A registered name, or a folder or URL: DATASET/CATEGORY/train/good, ..."
    ),
]
RegistryOption = Annotated[
    str, typer.Option("--registry", envvar="SPADE_REGISTRY", help="File of registered datasets.")
]
Categories = Annotated[list[str] | None, typer.Option("--category", help="Only this category; repeatable.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
BatchSize = Annotated[int, typer.Option(help="Images in a forward pass.")]
Memory = Annotated[float, typer.Option(help="GiB of features kept in memory while scoring.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's log.")]


class Table(StrEnum):
    """Tables that `spade results` shows."""

    categories = "categories"
    summary = "summary"
    images = "images"
    neighbors = "neighbors"
    comparisons = "comparisons"
    method_comparisons = "method_comparisons"
    runs = "runs"
    sweep = "sweep"
    reproduction = "reproduction"


class Format(StrEnum):
    """How a table is written."""

    table = "table"
    csv = "csv"
    json = "json"


def _configuration(
    *,
    backbone: Annotated[
        str, typer.Option(help="A network of torchvision or timm by its name; see spade backbones.")
    ] = _DEFAULTS.backbone,
    weights: Annotated[
        str | None, typer.Option(help="File of a state dict: torch's, or .safetensors.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="paper: resize 256, centre crop 224. full, full256: the whole image, to 224 or 256."
        ),
    ] = _DEFAULTS.protocol,
    level: Annotated[
        list[int] | None,
        typer.Option(
            help="Stride of a pyramid level to match; repeatable. Default: all, 4 8 16 of a ResNet."
        ),
    ] = None,
    k_image: Annotated[int, typer.Option(help="Neighbours in the image score.")] = _DEFAULTS.k_image,
    k_gallery: Annotated[int, typer.Option(help="Images in the gallery.")] = _DEFAULTS.k_gallery,
    gallery: Annotated[str, typer.Option(help="nearest or random: training images.")] = _DEFAULTS.gallery,
    gallery_seed: Annotated[int, typer.Option(help="Of a random gallery.")] = _DEFAULTS.gallery_seed,
    index: Annotated[
        str, typer.Option(help="flat, hnsw or ivf: of many training images; only flat is exact.")
    ] = _DEFAULTS.index,
    flat_up_to: Annotated[
        int, typer.Option(help="Training images up to which the index is flat.")
    ] = _DEFAULTS.flat_up_to,
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
        levels=tuple(level or ()),
        k_image=k_image,
        k_gallery=k_gallery,
        gallery=gallery,  # type: ignore[arg-type]
        gallery_seed=gallery_seed,
        index=index,  # type: ignore[arg-type]
        flat_up_to=flat_up_to,
        kappa=kappa,
        fusion=fusion,  # type: ignore[arg-type]
        upsampling=upsampling,  # type: ignore[arg-type]
        distance=distance,  # type: ignore[arg-type]
        sigma=sigma,
        metric_resolution=metric_resolution,
        dtype=dtype,  # type: ignore[arg-type]
        precision=precision,  # type: ignore[arg-type]
    )


def _configured(command: Callable[..., None], names: Collection[str] = ()) -> Callable[..., None]:
    """Give a command options of `_configuration`: those of these names, or all it does not declare itself."""
    own = signature(command, eval_str=True).parameters
    settings = signature(_configuration, eval_str=True).parameters
    declared = {
        name: parameter for name, parameter in settings.items() if name in (names or settings.keys() - own)
    }

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
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="spade (default), dn2, nearest_neighbor, one_class_svm, padim, patchcore, ensemble; with "
            "settings as 'dn2(k=5)'; repeatable."
        ),
    ] = None,
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
    _run(
        _resolve(root, registry, category),
        store,
        configuration,
        methods=tuple(method or (SPADE,)),
        run_id=run_id,
        device=device,
        batch_size=batch_size,
        memory_gib=memory,
        verbose=verbose,
    )


@app.command()
@_configured
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
    from flows.screen import print_sweep
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

    _run(
        _resolve(root, registry, category),
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


@app.command()
@partial(_configured, names=_OPEN)  # what else there is, the paper says
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
    from flows.reproduction_screen import print_reproduction

    def start(**settings: Any) -> str:
        from flows.reproduce import reproduce as reproduce_paper

        return str(reproduce_paper(**settings))

    named = _resolve(root, registry, category)
    _run(
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


Runner = Annotated[str, typer.Option(help="threads or dask: what works on categories side by side.")]
DaskAddress = Annotated[str | None, typer.Option(help="A Dask scheduler, for --runner dask.")]
Parallel = Annotated[int, typer.Option(min=1, help="Categories at a time; they share --memory.")]


@app.command()
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
    from flows.screen import print_entries, progress_display
    from storage.registry import read_registry

    with _errors():
        read_registry(registry)  # before the seconds that Prefect takes
        _configure_prefect(verbose=verbose)
        with progress_display(enabled=not verbose):
            from flows.nightly import BadNightError
            from flows.nightly import nightly as evaluate_night

            failure = None
            settings: dict[str, Any] = {"runner": runner, "when_busy": when_busy}  # checked by the flow
            try:
                entries = evaluate_night(
                    registry=registry,
                    store=store,
                    datasets=tuple(dataset or ()),
                    dask_address=dask_address,
                    parallel=parallel,
                    device=device,
                    batch_size=batch_size,
                    memory_gib=memory,
                    tolerance=tolerance,
                    **settings,
                )
            except BadNightError as error:
                entries, failure = list(error.entries), error
        print_entries(store, entries)
        if failure is not None:
            typer.echo(f"error: {failure}", err=True)
            raise typer.Exit(1)


@app.command()
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
    from flows.screen import print_changes, progress_display
    from storage.registry import read_registry

    with _errors():
        read_registry(registry).entry(dataset)
        _configure_prefect(verbose=verbose)
        with progress_display(enabled=not verbose):
            from flows.reprocess import IncompleteReprocessingError
            from flows.reprocess import reprocess as evaluate_again

            failure = None
            settings: dict[str, Any] = {"runner": runner}  # checked by the flow
            try:
                entries = evaluate_again(
                    dataset,
                    registry=registry,
                    store=store,
                    dask_address=dask_address,
                    parallel=parallel,
                    device=device,
                    batch_size=batch_size,
                    memory_gib=memory,
                    **settings,
                )
            except IncompleteReprocessingError as error:
                entries, failure = error.entries, error
        print_changes(store, entries)
        if failure is not None:
            typer.echo(f"error: {failure}", err=True)
            raise typer.Exit(1)


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
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what `spade evaluate` would still compute, and about how long it takes; nothing is written."""
    from flows.screen import print_plan, progress_display
    from storage.datasets import find_categories
    from tasks.job import Request

    named = _resolve(root, registry, category)
    find_categories(named.dataset, named.categories)  # before the seconds that torch takes
    request = Request(
        named.dataset, store, configuration, named.categories, device=device, batch_size=batch_size
    )
    _configure_prefect(verbose=False)
    with progress_display(enabled=True):
        from tasks.plan import plan as plan_run

        planned = plan_run(request)
    print_plan(planned)


@app.command()
def demo(store: StoreOption = DEFAULT_STORE, verbose: Verbose = False) -> None:
    """Draw a small dataset and evaluate it with EfficientNet-Lite0; needs no network."""
    with _errors():
        from flows.screen import print_page, progress_display
        from storage.datasets import Dataset
        from storage.registry import Registration
        from tasks.demo import draw_dataset

        with progress_display(enabled=not verbose):
            root = draw_dataset(Store.open(store, create=True))
        configuration = Configuration(backbone="tf_efficientnet_lite0")
        _run(Registration(Dataset.at(root)), store, configuration, verbose=verbose)
        from tasks.report.build import write_report

        with progress_display(enabled=not verbose):
            page = write_report(store)
        print_page(page)


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
def score(
    images: Annotated[list[str], typer.Argument(help="Image files, or folders of them.")],
    run: Annotated[str, typer.Option(help="The finished run to score by: its id, or latest.")] = "latest",
    category: Annotated[
        str | None,
        typer.Option(help="Whose normal images to compare with; needed where the run has several."),
    ] = None,
    fpr: Annotated[
        float, typer.Option(help="False-positive rate of the threshold, on normal images.")
    ] = 0.01,
    rule: Annotated[
        str, typer.Option(help="embedding or map: the score that gives the verdict.")
    ] = "embedding",
    output: Annotated[
        str | None, typer.Option(help="Folder for a heat map and a mask of each image, at its size.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="File of the run's weights, if it was moved since.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    store: StoreOption = DEFAULT_STORE,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")] = False,
) -> None:
    """Score new images by a finished run: scores, verdict, neighbours; with --output also pictures."""
    with _errors():
        from flows.screen import print_scores, progress_display

        _configure_prefect(verbose=False)
        with progress_display(enabled=True):
            from tasks.score_files import find_images, score_files
            from tasks.scorer import Scorer

            find_images(images)  # before the seconds that calibration may take
            scorer = Scorer(
                store,
                run,
                category,
                fpr=fpr,
                rule=rule,  # type: ignore[arg-type]  # checked by Scorer
                weights=weights,
                device=device,
            )
            rows = list(score_files(scorer, images, output))
        print_scores(scorer.describe(), rows, json=json)
    if not any("score_map" in row for row in rows):
        raise typer.Exit(1)


@app.command()
def export(
    folder: Annotated[str, typer.Argument(help="Where the pictures go.")],
    run: Annotated[str, typer.Option(help="A run's id, or latest.")] = "latest",
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    format: Annotated[str, typer.Option(help="tiff or png.")] = "tiff",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write anomaly maps as 16-bit pictures at the size of their images, all on one scale."""
    with _errors():
        from flows.screen import progress_display
        from tasks.export import export_maps

        with progress_display(enabled=True):
            sidecar = export_maps(store, run, folder, category=category, format=format)  # type: ignore[arg-type]
        typer.echo(f"scale and files: {sidecar}")


@app.command()
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
    with _errors():
        from flows.screen import print_rows
        from storage.results import Results
        from tasks.compare import compare as compare_runs
        from tasks.compare import is_worse

        run_id = Results(store).resolve(run)
        found = compare_runs(Store.open(store), run_id, reference, tolerance=tolerance)
        print_rows([{"run": run_id, **row} for row in found.to_pylist()], "comparisons", format)
        if is_worse(found):
            raise typer.Exit(1)


@app.command()
def backbones(
    filter: Annotated[str, typer.Option(help="Only names that contain this.")] = "",
) -> None:
    """List the networks whose weights are on this machine, and say how to use the others."""
    with _errors():
        from flows.screen import print_backbones
        from tasks.backbones import find_backbones

        print_backbones(*find_backbones(filter))


class Part(StrEnum):
    """What `spade methods` writes for machines."""

    standings = "standings"
    pairs = "pairs"
    ranks = "ranks"


@app.command()
def methods(
    runs: Annotated[list[str] | None, typer.Argument(help="Runs' ids; the latest if none is named.")] = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Accuracy against cost: a .png, .svg or .pdf.")
    ] = None,
    table: Annotated[Part, typer.Option(help="Which, as csv or json.")] = Part.standings,
    format: Annotated[Format, typer.Option(help="For people, all of it, or for machines.")] = Format.table,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare the methods of runs: metrics, paired tests, ranks over categories, seconds and memory."""
    with _errors():
        from flows.screen import print_methods, print_rows
        from storage.results import Results
        from tasks.standings import pairs, ranks, standings

        results, named = Results(store), runs or ["latest"]
        rows = standings(results, named)
        if plot is not None:
            from tasks.method_plot import plot_methods

            plot_methods(rows, plot)
        if format == Format.table:
            print_methods(rows, pairs(results, named), ranks(rows))
        else:
            chosen = {Part.standings: rows, Part.pairs: pairs(results, named), Part.ranks: ranks(rows)}
            print_rows(chosen[table], table, format)


@app.command()
def accept(
    run: Annotated[str, typer.Argument(help="A run's id, or latest.")], store: StoreOption = DEFAULT_STORE
) -> None:
    """Take what got worse in a run for granted: later runs are compared with it."""
    with _errors():
        from storage.results import Results
        from storage.results import accept as accept_run

        run_id = Results(store).resolve(run)
        accept_run(Store.open(store), run_id)
        typer.echo(f"later runs are compared with {run_id}")


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="A run's id, or latest.")] = "latest",
    output: Annotated[str | None, typer.Option(help="Folder of the pages; by default in the store.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write pages that show a finished run: overview, categories, every test image and why it scored so."""
    with _errors():
        from flows.screen import print_page, progress_display
        from storage.results import Results

        run = Results(store).resolve(run)  # before the seconds that torch takes
        with progress_display(enabled=True):
            from tasks.report.build import write_report

            page = write_report(store, run, output)
        print_page(page)
        if open_it:
            import webbrowser

            webbrowser.open(page.as_uri())


@app.command()
def inspect(
    root: RootArgument,
    category: Categories = None,
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Show what a dataset holds and what is wrong with it; nothing is computed or written."""
    with _errors():
        from flows.screen import print_inspection
        from storage.datasets import last_manifest
        from storage.manifests import read_manifest

        named = _resolve(root, registry, category)
        known = last_manifest(Store.open(store), named.dataset.name) if Path(store).exists() else None
        print_inspection(read_manifest(named.dataset, named.categories, known=known))


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


@app.command()
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
    with _errors():
        from flows.server import local_server

        registry, store = str(location(registry)), str(location(store))  # a run may start in another folder
        _configure_prefect(verbose=True)
        with ExitStack() as stack:
            if "PREFECT_API_URL" not in os.environ:
                typer.echo("starting a Prefect server")
                os.environ["PREFECT_API_URL"] = stack.enter_context(local_server(port))
            from flows.serve import serve as serve_flows

            serve_flows(cron, registry, store)


def _resolve(name: str, registry: str, categories: list[str] | None) -> Registration:
    """What a user calls by this name, with those of its categories that are asked for."""
    from storage.registry import resolve

    named = resolve(name, registry)
    return replace(named, categories=tuple(categories)) if categories else named


def _run(
    named: Registration,
    store: str,
    configuration: Configuration,
    *,
    start: Callable[..., str] | None = None,
    show: Callable[[str, str], None] | None = None,
    verbose: bool,
    **settings: Any,
) -> None:
    """Run a flow with progress on the screen, then show its tables; a partial run ends with exit code 1.

    The flow is `evaluate` and the tables are those of its run, unless `start` and `show` say otherwise.
    """
    from flows.screen import print_report, progress_display
    from storage.datasets import find_categories

    find_categories(named.dataset, named.categories)  # before the seconds that Prefect and torch take
    _configure_prefect(verbose=verbose)
    with progress_display(enabled=not verbose):
        from flows.evaluate import IncompleteRunError, evaluate

        incomplete = None
        try:
            run_id = (start or evaluate)(
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
