"""Commands that show what a store holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from flows.cli.options import DEFAULT_STORE, FormatOption, MethodOption, Run, StoreOption
from flows.cli.running import importing
from storage.results.schemas import TABLES

_TABLES = (*TABLES, "sweep")


def results(
    *,
    run: Run = "latest",
    table: Annotated[str, Parameter(choices=_TABLES, help="Which table.")] = "categories",
    method: Annotated[
        str | None, Parameter(help="Only the rows of this method of the run. Default: those of all.")
    ] = None,
    convention: Annotated[
        str | None,
        Parameter(
            help="Beside the run's figures, what this public code would compute: SPADE-pytorch, SPADE-fast, "
            "mvtec or rd4ad (docs/evaluating.md)."
        ),
    ] = None,
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a table of a finished run, or its figures as a public code would compute them."""
    from flows.cli.screen.tables import print_rows
    from storage.results.reader import Results

    if convention is not None:
        from tasks.run.conventions import convention_rows

        print_rows(convention_rows(store, run, convention, method), "conventions", format)
        return
    rows = Results(store).rows(table, run)
    print_rows(rows if method is None else _of_method(rows, method, table), table, format)


def sql(
    query: Annotated[str, Parameter(help="As 'select * from categories where run = latest()'.")],
    /,
    *,
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Answer a query over the tables of all finished runs, by DuckDB; docs/sql.md asks ten."""
    from flows.cli.screen.tables import print_rows
    from storage.results.sql import answer

    print_rows(answer(store, query).to_pylist(), "sql", format)


def _of_method(rows: Sequence[Mapping[str, Any]], method: str, table: str) -> list[Mapping[str, Any]]:
    """The rows that a method has a part in."""
    from storage.errors import StoreError

    columns = ("method", "reference") if table == "method_comparisons" else ("method",)
    if any(column not in row for row in rows for column in columns):
        raise StoreError(f"the table {table} tells no methods apart: leave --method out")
    names = dict.fromkeys(row[column] for row in rows for column in columns if row[column] is not None)
    if rows and method not in names:
        raise StoreError(f"no method {method!r} in the table {table}: it has {', '.join(names)}")
    return [row for row in rows if method in [row[column] for column in columns]]


def report(
    run: Run = "latest",
    /,
    *,
    method: MethodOption = None,
    output: Annotated[str | None, Parameter(help="Folder of the pages. Default: one in the store.")] = None,
    browse: Annotated[bool, Parameter(name="--open", help="Open it in the browser.")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write pages that show a finished run: overview, categories, every test image and why it scored so."""
    from flows.cli.screen.progress import progress_display
    from flows.cli.screen.runs import print_page
    from storage.results.reader import Results

    found = Results(store)
    run = found.resolve(run)
    method = found.method(run, method)  # before the seconds that torch takes
    with progress_display(enabled=True):
        with importing():
            from tasks.report.build import write_report

        page = write_report(store, run, output, method)
    print_page(page)
    if browse:
        import webbrowser

        webbrowser.open(page.as_uri())


def export(
    folder: Annotated[str, Parameter(help="Where the files go; of mlflow the server's URL.")],
    /,
    *,
    run: Run = "latest",
    category: Annotated[str | None, Parameter(help="Only this category.")] = None,
    method: Annotated[
        str | None,
        Parameter(help="Of the run, as its tables name it. Default: its first that has maps."),
    ] = None,
    format: Annotated[
        Literal["tiff", "png", "coco", "jsonl", "mvtec_ad_2", "mlflow"],
        Parameter(
            help="Anomaly maps as pictures, regions at the operating point as JSON, what the benchmark of "
            "MVTec AD 2 takes of the unlabelled images, or settings, metrics and report to an MLflow server."
        ),
    ] = "tiff",
    fpr: Annotated[
        float, Parameter(help="Of mvtec_ad_2: share of normal images with a pixel above the threshold.")
    ] = 0.01,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Write anomaly maps as 16-bit pictures on one scale, or regions above the threshold as COCO or JSON.

    Or a submission to the benchmark of MVTec AD 2: of its unlabelled images, checked. Or hand the run's
    settings, metrics and report to an MLflow server; again what is there of it, and no second run.
    """
    from flows.cli.screen.progress import progress_display

    if format == "mlflow":
        print(_hand_over(folder, store, run, whole=category is None and method is None))
        return
    with progress_display(enabled=True):
        with importing():
            from tasks.export import export_maps
            from tasks.export_regions import export_regions
            from tasks.submission import export_submission

        if format == "mvtec_ad_2":
            submission = export_submission(store, run, folder, category=category, method=method, fpr=fpr)
            lines = submission.lines()
        elif format == "coco" or format == "jsonl":
            written = export_regions(store, run, folder, category=category, method=method, format=format)
            lines = [f"regions: {written}"]
        else:
            sidecar = export_maps(store, run, folder, category=category, method=method, format=format)
            lines = [f"scale and files: {sidecar}"]
    print("\n".join(lines))


def _hand_over(uri: str, store: str, run: str, *, whole: bool) -> str:
    """Hand a run to an MLflow server; where it is."""
    from storage.datasets.tracking import Tracking
    from tasks.core.errors import ConfigurationError

    if not whole:
        raise ConfigurationError(
            "format is 'mlflow': it takes all of a run; leave --category and --method out"
        )
    with importing():
        from tasks.tracking import Tracker

    try:
        address = Tracking(uri).address()
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return Tracker(address).hand_over(store, run)


def repair(*, store: StoreOption = DEFAULT_STORE) -> None:
    """Check every file of the store, and drop what is damaged or unfinished; no run may be under way."""
    from storage.repair import repair as repair_store
    from storage.store.store import Store

    findings = repair_store(Store.open(store))
    for finding in findings:
        print(f"dropped {finding.what}: {finding.reason}")
    print(f"{len(findings)} dropped; the next `spade evaluate` computes it anew" if findings else "all whole")
