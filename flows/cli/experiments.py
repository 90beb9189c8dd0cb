"""Commands that try settings and methods, and compare them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from typing import Annotated, Literal

from cyclopts import Parameter

from flows.cli.computing import Worker
from flows.cli.options import (
    DEFAULT_REGISTRY,
    DEFAULT_STORE,
    Categories,
    FormatOption,
    RegistryOption,
    Root,
    RunId,
    StoreOption,
    SweepId,
    Verbose,
)
from flows.cli.running import resolved, run_flow
from flows.cli.settings import Axes, Methods, Open, Preset, Settings, Shared
from tasks.core.corruptions import KINDS
from tasks.core.settings import listed

_RATE = 0.05  # false positives where none is named


def sweep(
    root: Root,
    /,
    *,
    category: Categories = None,
    preset: Preset = "paper",
    method: Methods = None,
    axes: Axes = Axes(),  # noqa: B008 (frozen)
    settings: Shared = Shared(),  # noqa: B008 (frozen)
    worker: Worker = Worker(),  # noqa: B008 (frozen)
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: SweepId = None,
    format: FormatOption = "table",
    verbose: Verbose = False,
) -> int:
    """Evaluate a grid: every combination of the settings that are repeated. Each point becomes a run."""
    from flows.cli.screen.runs import print_sweep
    from tasks.core.grid import Point, grid
    from tasks.methods.recipes import recipe

    chosen, given = recipe(settings.values(), method or (), preset), axes.axes()
    grid(Point(chosen.configuration, chosen.methods), given)  # errors before the seconds that torch takes

    def load() -> Callable[..., str]:
        from flows.sweep import sweep as run_sweep

        return partial(run_sweep, axes=given)

    return run_flow(
        resolved(root, registry, category),
        store,
        chosen.configuration,
        load=load,
        show=partial(print_sweep, style=format),
        methods=[each.label for each in chosen.methods],
        run_id=run_id,
        verbose=verbose,
        **asdict(worker),
    )


def reproduce(
    root: Root,
    /,
    *,
    category: Categories = None,
    settings: Open = Open(),  # noqa: B008 (frozen)
    worker: Worker = Worker(),  # noqa: B008 (frozen)
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: SweepId = None,
    format: FormatOption = "table",
    verbose: Verbose = False,
) -> int:
    """Run the paper's protocol and show its tables with ours beside them, and what is missing.

    Of MVTec AD tables 1, 2, 3, 6 and 7; of ShanghaiTech Campus (training/frames, testing/frames) 4 and 5.
    """
    from flows.cli.screen.runs import print_reproduction
    from tasks.core.methods.spade import Spade
    from tasks.methods.recipes import recipe

    def load() -> Callable[..., str]:
        from flows.reproduce import reproduce as reproduce_paper

        return reproduce_paper

    given = settings.values()
    named = resolved(root, registry, category)
    return run_flow(
        replace(named, dataset=named.dataset.recognised()),
        store,
        recipe(given).configuration,
        load=load,
        show=partial(print_reproduction, style=format),
        spade={each.name: given[each.name] for each in fields(Spade) if each.name in given},
        run_id=run_id,
        verbose=verbose,
        **asdict(worker),
    )


def robustness(
    root: Root,
    /,
    *,
    category: Categories = None,
    preset: Preset = "paper",
    method: Methods = None,
    corruption: Annotated[
        list[str] | None, Parameter(help=f"{listed(KINDS)}; repeatable. Default: all.")
    ] = None,
    severity: Annotated[
        list[int] | None, Parameter(help="1, the least, to 5; repeatable. Default: all.")
    ] = None,
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    worker: Worker = Worker(),  # noqa: B008 (frozen)
    store: StoreOption = DEFAULT_STORE,
    registry: RegistryOption = DEFAULT_REGISTRY,
    run_id: RunId = None,
    format: FormatOption = "table",
    verbose: Verbose = False,
) -> int:
    """Evaluate a dataset, and again with its test images made worse: ROCAUC, false alarms, misses.

    Thresholds are those of the images as they are, at --fpr, by default 0.05. What the store has is not
    computed again.
    """
    from flows.cli.screen.runs import print_robustness
    from tasks.core.corruptions import corruptions
    from tasks.methods.recipes import recipe

    chosen = recipe({"fpr": _RATE} | settings.values(), method or (), preset)
    named = corruptions(corruption or (), severity or ())
    return run_flow(
        resolved(root, registry, category),
        store,
        chosen.configuration,
        show=partial(print_robustness, style=format),
        methods=[each.label for each in chosen.methods],
        corruptions=list(dict.fromkeys(each.name for each in named)),
        severities=sorted({each.severity for each in named}),
        run_id=run_id,
        verbose=verbose,
        **asdict(worker),
    )


def methods(
    *runs: Annotated[str, Parameter(name="RUNS", help="Runs' ids; the latest if none is named.")],
    plot: Annotated[
        str | None, Parameter(help="File for accuracy against cost: a .png, .svg or .pdf.")
    ] = None,
    table: Annotated[
        Literal["standings", "pairs", "ranks"], Parameter(help="Which, as csv or json.")
    ] = "standings",
    format: FormatOption = "table",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Compare the methods of runs: metrics, paired tests, ranks over categories, seconds and memory."""
    from flows.cli.screen.runs import print_methods
    from flows.cli.screen.tables import print_rows
    from storage.results.reader import Results
    from tasks.compare.standings import pairs, ranks, standings

    results, named = Results(store), runs or ("latest",)
    rows = standings(results, named)
    if plot is not None:
        from tasks.compare.plot import plot_methods

        plot_methods(rows, plot)
    if format == "table":
        print_methods(rows, pairs(results, named), ranks(rows))
    else:
        chosen = {"standings": rows, "pairs": pairs(results, named), "ranks": ranks(rows)}
        print_rows(chosen[table], table, format)
