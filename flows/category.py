"""One category from images to metrics, for one run or for several that share its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from storage.errors import DatasetError, StoreError
from tasks.core.errors import ConfigurationError
from tasks.job import Job, Outcome, Part, Stage, joined
from tasks.methods.by_name import groups, score, scoring_of
from tasks.methods.index import index
from tasks.methods.scoring import Scoring
from tasks.progress import LOGGER
from tasks.run.drift import measure_drift
from tasks.run.extract import extract
from tasks.run.operating import Operation, operate
from tasks.run.robustness import measure_robustness
from tasks.run.summarize import failure, summarize


def evaluate_category(jobs: Sequence[Job], category: str, before: Sequence[Stage] = ()) -> list[Outcome]:
    """How a category ends in each of the jobs, which differ in nothing but methods and maps.

    Features are those of the first job, and what several methods have in common is computed once. What stops
    a method is its result, and stops no other. What shares did `before` for the first job is counted in its
    stages.
    """
    try:
        part, stages = _with_features(jobs[0].part(category))
        drift, stage = measure_drift(part)
        stages.append(stage)
    except Exception as error:
        reason = _reason(error, category)
        parts = [job.part(category) for job in jobs]
        return [
            Outcome(category, [failure(part, method, reason) for method in part.job.methods], reason)
            for part in parts
        ]
    parts = [part, *(part.of(job) for job in jobs[1:])]
    by_part = [[scoring_of(part, method) for method in part.job.methods] for part in parts]
    done, failed = _score([scoring for of_part in by_part for scoring in of_part])
    outcomes = []
    for number, of_part in enumerate(by_part):
        shared = stages if number == 0 else [replace(stage, seconds=0.0, computed=0) for stage in stages]
        outcome = _summarized(category, of_part, shared, done, failed, drift)
        scored = [scoring for scoring in of_part if scoring not in failed]
        outcomes.append(_corrupted(outcome, scored) if of_part[0].part.job.corruptions else outcome)
    stages = [joined(stage, before) for stage in outcomes[0].stages]
    return [replace(outcomes[0], stages=stages), *outcomes[1:]]


def _with_features(part: Part) -> tuple[Part, list[Stage]]:
    """The part with its features extracted and indexed.

    Raises:
        DatasetError: a kind of images is missing.
    """
    part.manifest.check()
    extracted, part = extract(part)
    part.manifest.check()
    return part, [extracted, index(part)]


def _score(scorings: Sequence[Scoring]) -> tuple[dict[Scoring, list[Stage]], dict[Scoring, str]]:
    """The stages of each scoring, or why it failed."""
    done: dict[Scoring, list[Stage]] = {}
    failed: dict[Scoring, str] = {}
    for group in groups(scorings):
        try:
            done |= zip(group, score(group), strict=True)
        except Exception as error:
            failed |= dict.fromkeys(group, _reason(error, group[0].part.category))
    return done, failed


def _summarized(
    category: str,
    scorings: Sequence[Scoring],
    stages: Sequence[Stage],
    done: dict[Scoring, list[Stage]],
    failed: dict[Scoring, str],
    drift: list[dict[str, Any]],
) -> Outcome:
    """The rows of a category in one run."""
    rows, stages, reasons = [], list(stages), []
    images: dict[tuple[str, str], dict[str, Any]] = {}
    tables = {"drift": drift}
    for scoring in scorings:
        reason = failed.get(scoring)
        if reason is None:
            stages += done[scoring]
            try:
                row, of_images, summarized = summarize(scoring)
                named = scoring.part.job.configuration.fpr > 0
                operation, operated = operate(scoring) if named else (Operation(), None)
                rows.append(row)
                stages += filter(None, (summarized, operated))
                for found in (of_images, operation.images):
                    for name, values in found.items():
                        images.setdefault((scoring.method.label, name), {}).update(values)
                for name, found_rows in operation.tables.items():
                    tables.setdefault(name, []).extend(found_rows)
                continue
            except Exception as error:
                reason = _reason(error, category)
        rows.append(failure(scoring.part, scoring.method, reason))
        reasons.append(reason)
    return Outcome(category, rows, "; ".join(dict.fromkeys(reasons)) or None, stages, images, tables)


def _corrupted(outcome: Outcome, scorings: Sequence[Scoring]) -> Outcome:
    """The outcome with what corruptions cost, or why that could not be measured."""
    try:
        rows, stages = measure_robustness(scorings) if scorings else ([], [])
    except Exception as error:
        reasons = filter(None, (outcome.reason, _reason(error, outcome.category)))
        return replace(outcome, reason="; ".join(dict.fromkeys(reasons)))
    tables = outcome.tables | {"robustness": rows}
    return replace(outcome, tables=tables, stages=[*outcome.stages, *stages])


def _reason(error: Exception, category: str) -> str:
    """Log what stopped a category and say it; ConfigurationError concerns every category, and is raised."""
    if isinstance(error, ConfigurationError):
        raise error
    if isinstance(error, DatasetError | StoreError):
        LOGGER.error("category %s failed: %s", category, error)
        return str(error)
    LOGGER.error("category %s failed", category, exc_info=error)
    return f"{type(error).__name__}: {error}"
