"""What methods cost: seconds and memory, from the runs that did the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from storage.results.reader import Results
from tasks.core.methods.registry import parse_method

Row = dict[str, Any]
_Work = tuple[str, str]  # score key and label of a method: what was computed, for whom
_STEPS = ("fit", "score")
UNKNOWN: Row = dict.fromkeys(("fit_seconds", "score_seconds", "state_mib"))


def costs(results: Results, run: str) -> dict[tuple[str, str], Row]:
    """Seconds to fit and to score, and MiB held, by category and method of a run; null where not known.

    Each step counts as the last run did it, this one or one before, that did it for all images. An ensemble
    costs what its own steps do and what its methods cost, whether or not the run lists them.
    """
    rows = [row for row in results.rows("categories", run) if row["score_key"] is not None]
    keys = {
        (stage["category"], stage["method"]): stage["score_key"]
        for stage in results.rows("stages", run)
        if stage["score_key"] is not None
    }
    parts: dict[tuple[str, str], list[_Work | None]] = {}
    for row in rows:
        category, label = row["category"], row["method"]
        others = [member.label for member in parse_method(label).members if member.label != label]
        works = [(keys[category, other], other) if (category, other) in keys else None for other in others]
        parts[category, label] = [(row["score_key"], label), *works]
    found = _last(results, run, {work for works in parts.values() for work in works if work})
    return {of: _sum([found.get(work) if work else None for work in works]) for of, works in parts.items()}


def _last(results: Results, run: str, wanted: set[_Work]) -> dict[_Work, dict[str, Row]]:
    """By step, the stages of the last runs up to this one that did all of it, where each step has one."""
    found: dict[_Work, dict[str, Row]] = {}
    steps: dict[_Work, set[str]] = {}
    rows = results.stages_of({score_key for score_key, _ in wanted}, run)
    for _, stages in groupby(rows, key=itemgetter("run")):
        for stage in stages:
            work = stage["score_key"], stage["method"]
            if work in wanted and stage["step"] in _STEPS:
                steps.setdefault(work, set()).add(stage["step"])
                if stage["computed"] == stage["total"]:
                    found.setdefault(work, {}).setdefault(stage["step"], stage)
        if all(found.get(work, {}).keys() >= steps.get(work, set(_STEPS)) for work in wanted):
            break
    return {work: done for work, done in found.items() if done.keys() == steps[work]}


def _sum(parts: Sequence[Mapping[str, Row] | None]) -> Row:
    """The cost of all parts, unknown if that of any is."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return dict(UNKNOWN)
    seconds = {
        f"{step}_seconds": sum((part[step]["seconds"] for part in known if step in part), 0.0)
        for step in _STEPS
    }
    held = [part["score"]["state_mib"] for part in known if part["score"]["state_mib"] is not None]
    return seconds | {"state_mib": sum(held) if held else None}
