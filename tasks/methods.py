"""Any method by its name: which there are, its scores, and what these are found by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from storage.datasets import Manifest
from storage.schemas import SPADE
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.registry import method_label, parse_method
from tasks.ensembles import ensemble_scoring, score_ensemble
from tasks.job import Job, Stage
from tasks.learned import learned_scoring, score_learned
from tasks.score import scoring
from tasks.step import step


def known_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods that are asked for, each once, as their columns will name them.

    Raises:
        ConfigurationError: no such method, or a setting that it cannot have.
    """
    found = (name if name == SPADE else method_label(parse_method(name)) for name in names)
    return tuple(dict.fromkeys(found))


@step
def score_method(job: Job, category: str, excluded: Mapping[str, str], method: str) -> list[Stage]:
    """Append the scores by a method that test images lack; a batch that is recorded is not done again."""
    manifest = job.manifest().of(category).exclude(dict(excluded))
    found = parse_method(method)
    if isinstance(found, Ensemble):
        return score_ensemble(job, manifest, found)
    return score_learned(job, manifest, found)


def method_scoring(job: Job, manifest: Manifest, method: str) -> tuple[str, dict[str, Any]]:
    """The score key of a category and method, and what it is a digest of."""
    if method == SPADE:
        return scoring(job, manifest)
    found = parse_method(method)
    if isinstance(found, Ensemble):
        return ensemble_scoring(job, manifest, found)
    return learned_scoring(job, manifest, found)
