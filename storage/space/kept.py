"""Which runs are kept, and why: by what they are, and by when they ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.datasets.retention import Retention

Part = tuple[str, str]


@dataclass(frozen=True)
class PastRun:
    """A published run.

    Attributes:
        run: its id.
        ended: when, in UTC.
        dataset, configuration: of what, and the key of all settings but weights.
        is_whole: whether it has tables; not if it was interrupted.
        is_good: whether later runs are compared with it.
        parts: its categories by method.
        mark: why it was pinned, or that it was accepted; None without either.
        sweep: the sweep that it is a point of.
    """

    run: str
    ended: datetime
    dataset: str
    configuration: str
    is_whole: bool
    is_good: bool
    parts: frozenset[Part]
    mark: str | None = None
    sweep: str | None = None


def kept(runs: Iterable[PastRun], retention: Retention, busy: Collection[str] = ()) -> dict[str, str]:
    """Each run that is kept, and why; the others may go. `busy` datasets are those of runs under way.

    For each dataset, configuration, category and method these are kept: the latest run, the last good one,
    all of the last days on which there were any, and of the last weeks and months with any the last good run,
    or the last. A run that was interrupted has no tables, and counts for days alone. The points of a sweep
    are kept together.
    """
    runs = sorted(runs, key=lambda run: (run.ended, run.run))
    reasons: dict[str, str] = {}

    def keep(some: Iterable[PastRun], why: str) -> None:
        for run in some:
            reasons.setdefault(run.run, why)

    for run in runs:
        if run.mark is not None:
            keep([run], run.mark)
    keep((run for run in runs if run.dataset in busy), "a run on its dataset is under way")
    histories = _histories(runs)
    whole = [[run for run in history if run.is_whole] for history in histories]
    good = [[run for run in history if run.is_good] for history in histories]
    for ending, why in ((whole, "the latest"), (good, "the last good one")):
        for history in ending:
            keep(history[-1:], why)
    for history in histories:
        for of_day in _last(history, _day, retention.nights):
            keep(of_day, "of the last nights")
    for history in whole:
        for name, period, count in (("week", _week, retention.weeks), ("month", _month, retention.months)):
            for some in _last(history, period, count):
                keep(([run for run in some if run.is_good] or some)[-1:], f"of its {name}")
    sweeps = {run.sweep for run in runs if run.run in reasons} - {None}
    keep((run for run in runs if run.sweep in sweeps), "of a sweep that is kept")
    return reasons


def _histories(runs: Sequence[PastRun]) -> list[list[PastRun]]:
    """The runs, in their order, of each dataset, configuration, category and method."""
    found: Mapping[Hashable, list[PastRun]] = defaultdict(list)
    for run in runs:
        for part in run.parts or {("", "")}:
            found[run.dataset, run.configuration, part].append(run)
    return list(found.values())


def _last(
    history: Sequence[PastRun], period: Callable[[datetime], Hashable], count: int
) -> list[list[PastRun]]:
    """The runs of the last periods in which there were any, by period."""
    found: dict[Hashable, list[PastRun]] = {}
    for run in history:
        found.setdefault(period(run.ended), []).append(run)
    return list(found.values())[-count:] if count else []


def _day(moment: datetime) -> Hashable:
    return moment.date()


def _week(moment: datetime) -> Hashable:
    return moment.isocalendar()[:2]


def _month(moment: datetime) -> Hashable:
    return moment.year, moment.month
