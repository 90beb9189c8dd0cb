"""The methods by name."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tasks.core.errors import ConfigurationError
from tasks.core.methods.descendants import RAD, AnomalyDINO
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.core.methods.neighbors import DN2, NearestNeighbor
from tasks.core.methods.one_class_svm import OneClassSVM
from tasks.core.methods.padim import PaDiM
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.spade import Spade
from tasks.core.settings import listed, make, suggestion

METHODS: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (Spade, RAD, AnomalyDINO, DN2, NearestNeighbor, OneClassSVM, PaDiM, PatchCore, Ensemble)
}
Given = Mapping[str, Mapping[str, Any]]


def parse_methods(texts: Iterable[str], given: Given | None = None) -> tuple[Method, ...]:
    """The methods of these texts, each once; `given` as in `parse_method`."""
    return tuple(dict.fromkeys(parse_method(text, given) for text in texts))


def parse_method(text: str, given: Given | None = None) -> Method:
    """A method from its name, or from its name and settings, as `patchcore(share=0.01)`.

    `given` holds settings by the name of a method, for where the text does not set them itself, also in an
    ensemble; without any they are the published ones.

    Raises:
        ConfigurationError: no such method or setting, or a value it cannot have.
    """
    name, settings = _parsed(text)
    if name not in METHODS:
        raise ConfigurationError(
            f"method is {text!r}: {suggestion(name, list(METHODS))}it is one of {listed(list(METHODS))}"
        )
    kind, given = METHODS[name], given or {}
    if kind is Ensemble:
        settings["methods"] = _members(settings.get("methods"), given)
    method: Method = make(kind, name, {**given.get(name, {}), **settings})
    return method


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings in a text."""
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        if isinstance(expression, ast.Name):
            return expression.id, {}
        if not (isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name)):
            raise ValueError("it is no name")
        if expression.args or not all(word.arg for word in expression.keywords):
            raise ValueError("a setting has no name")
        settings = {str(word.arg): ast.literal_eval(word.value) for word in expression.keywords}
        return expression.func.id, settings
    except (SyntaxError, ValueError):
        raise ConfigurationError(
            f"method is {text!r}: it is one of {listed(list(METHODS))}, or with settings, as dn2(k=5)"
        ) from None


def _members(texts: Any, given: Given) -> tuple[Method, ...]:
    """The methods of an ensemble, from their texts or the default ones."""
    if texts is None:
        default = Ensemble().methods
        return tuple(replace(method, **given.get(method.name, {})) for method in default)
    if not isinstance(texts, tuple) or not all(isinstance(each, str) for each in texts):
        raise ConfigurationError(
            f"methods is {texts!r}: name them as ensemble(methods=('spade', 'patchcore'))"
        )
    return tuple(parse_method(each, given) for each in texts)
