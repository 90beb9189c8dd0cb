"""Any method by its name: which there are, its scores, and what these are found by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from storage.datasets.dataset import Manifest
from storage.results.schemas import SPADE
from tasks.core.config import Configuration, ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.registry import describe_method, method_label, parse_member, parse_method
from tasks.job import Job, Stage
from tasks.methods.ensemble import ensemble_scoring, score_ensemble
from tasks.methods.fitted import learned_scoring, score_learned
from tasks.methods.spade import scoring
from tasks.step import step


def known_methods(names: Sequence[str]) -> tuple[str, ...]:
    """The methods that are asked for, each once, as their columns will name them.

    Raises:
        ConfigurationError: no such method, or a setting that it cannot have.
    """
    found = (name if name == SPADE else method_label(parse_method(name)) for name in names)
    return tuple(dict.fromkeys(found))


def check_levels(methods: Sequence[str], settings: Configuration) -> None:
    """Check that the backbone has the levels that the methods read.

    Raises:
        ConfigurationError: it does not; the message says how the method is named to read what there is.
    """
    for name in dict.fromkeys(chain.from_iterable(map(members_of, methods))):
        if name == SPADE or set((method := parse_member(name)).strides) <= set(settings.strides):
            continue
        setting: dict[str, Any] = {"strides": settings.strides}
        if "strides" not in describe_method(method):
            setting = {"stride": min(settings.strides, key=lambda stride: abs(stride - method.strides[0]))}
        usable = method_label(dataclasses.replace(method, **setting))  # type: ignore[type-var]  # methods are dataclasses
        raise ConfigurationError(
            f"method {name} reads levels {_listed(method.strides)}, but {settings.backbone} has "
            f"{_listed(settings.strides)}: name it as --method '{usable}'"
        )


def members_of(name: str) -> Sequence[str]:
    """The methods that score for a method: itself, or those of an ensemble."""
    found = None if name == SPADE else parse_method(name)
    return found.methods if isinstance(found, Ensemble) else [name]


def _listed(strides: Sequence[int]) -> str:
    return ", ".join(str(stride) for stride in strides)


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
