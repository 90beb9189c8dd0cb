"""Commands that show what a store holds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flows.cli.options import (
    Format,
    StoreOption,
)
from flows.cli.running import errors
from storage.store.store import DEFAULT_STORE, Store


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


def results(
    run: Annotated[str, typer.Option(help="A run's id, or latest.")] = "latest",
    table: Annotated[Table, typer.Option(help="Which table.")] = Table.categories,
    format: Annotated[Format, typer.Option(help="For people, or all columns for machines.")] = Format.table,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a table of a finished run."""
    with errors():
        from flows.cli.screen.tables import print_rows
        from storage.results.reader import Results

        print_rows(Results(store).rows(table, run), table, format)


class Part(StrEnum):
    """What `spade methods` writes for machines."""

    standings = "standings"
    pairs = "pairs"
    ranks = "ranks"


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
    with errors():
        from flows.cli.screen.runs import print_methods
        from flows.cli.screen.tables import print_rows
        from storage.results.reader import Results
        from tasks.compare.standings import pairs, ranks, standings

        results, named = Results(store), runs or ["latest"]
        rows = standings(results, named)
        if plot is not None:
            from tasks.compare.plot import plot_methods

            plot_methods(rows, plot)
        if format == Format.table:
            print_methods(rows, pairs(results, named), ranks(rows))
        else:
            chosen = {Part.standings: rows, Part.pairs: pairs(results, named), Part.ranks: ranks(rows)}
            print_rows(chosen[table], table, format)


def report(
    run: Annotated[str, typer.Argument(help="A run's id, or latest.")] = "latest",
    method: Annotated[
        str | None,
        typer.Option(help="The method that is shown, if the run has several; by default its first."),
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the pages; by default in the store.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write pages that show a finished run: overview, categories, every test image and why it scored so."""
    with errors():
        from flows.cli.screen.progress import progress_display
        from flows.cli.screen.runs import print_page
        from storage.results.reader import Results

        run = Results(store).resolve(run)  # before the seconds that torch takes
        with progress_display(enabled=True):
            from tasks.report.build import write_report

            page = write_report(store, run, output, method)
        print_page(page)
        if open_it:
            import webbrowser

            webbrowser.open(page.as_uri())


def export(
    folder: Annotated[str, typer.Argument(help="Where the pictures go.")],
    run: Annotated[str, typer.Option(help="A run's id, or latest.")] = "latest",
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    format: Annotated[str, typer.Option(help="tiff or png.")] = "tiff",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write anomaly maps as 16-bit pictures at the size of their images, all on one scale."""
    with errors():
        from flows.cli.screen.progress import progress_display
        from tasks.export import export_maps

        with progress_display(enabled=True):
            sidecar = export_maps(store, run, folder, category=category, format=format)  # type: ignore[arg-type]
        typer.echo(f"scale and files: {sidecar}")


def repair(store: StoreOption = DEFAULT_STORE) -> None:
    """Check every file of the store, and drop what is damaged or unfinished; no run may be under way."""
    with errors():
        from storage.repair import repair as repair_store

        findings = repair_store(Store.open(store))
        for finding in findings:
            typer.echo(f"dropped {finding.what}: {finding.reason}")
        typer.echo(
            f"{len(findings)} dropped; the next `spade evaluate` computes it anew"
            if findings
            else "all whole"
        )
