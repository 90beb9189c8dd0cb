"""The methods by name."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from typing import Any

from tasks.core.config import ConfigurationError
from tasks.core.methods.ensemble import Ensemble
from tasks.core.methods.interface import Method
from tasks.core.methods.neighbors import DN2, NearestNeighbor
from tasks.core.methods.one_class_svm import OneClassSVM
from tasks.core.methods.padim import PaDiM
from tasks.core.methods.patchcore import PatchCore

METHODS: dict[str, type[Any]] = {
    kind.name: kind for kind in (DN2, NearestNeighbor, OneClassSVM, PaDiM, PatchCore)
}
_SPADE = "spade"  # the settings of a run are its own
_NAMES = (*METHODS, Ensemble.name)


def make_method(name: str, **settings: Any) -> Method:
    """A method by name, with the published settings but for those given.

    Raises:
        ConfigurationError: no such method, or no such setting of it.
    """
    if name not in METHODS:
        raise ConfigurationError(f"method is {name!r}: it is one of {', '.join(_NAMES)}")
    method: Method = _made(METHODS[name], settings)
    return method


def parse_method(text: str) -> Method | Ensemble:
    """A method from its name, or from its name and settings, as `patchcore(share=0.01)`.

    Raises:
        ConfigurationError: no such method or setting, or a value it cannot have.
    """
    try:
        expression = ast.parse(text.strip(), mode="eval").body
        if isinstance(expression, ast.Name):
            name, settings = expression.id, {}
        elif isinstance(expression, ast.Call) and isinstance(expression.func, ast.Name):
            if expression.args:
                raise ValueError("a setting has no name")
            name = expression.func.id
            settings = {str(word.arg): ast.literal_eval(word.value) for word in expression.keywords}
        else:
            raise ValueError("it is no name")
    except (SyntaxError, ValueError):
        raise ConfigurationError(
            f"method is {text!r}: it is one of {', '.join(_NAMES)}, or with settings, as dn2(k=5)"
        ) from None
    if name != Ensemble.name:
        return make_method(name, **settings)
    ensemble: Ensemble = _made(Ensemble, settings)
    labels = [each if each == _SPADE else method_label(parse_member(each)) for each in ensemble.methods]
    return dataclasses.replace(ensemble, methods=tuple(labels))


def parse_member(text: str) -> Method:
    """As `parse_method`, of a method in an ensemble, which is none itself."""
    method = parse_method(text)
    if isinstance(method, Ensemble):
        raise ConfigurationError(f"method is {text!r}, in an ensemble: name the methods of both in one")
    return method


def _made(kind: type[Any], settings: Mapping[str, Any]) -> Any:
    names = [field.name for field in dataclasses.fields(kind)]
    for setting in settings:
        if setting not in names:
            raise ConfigurationError(f"{kind.name} has no setting {setting!r}: it has {', '.join(names)}")
    return kind(**settings)


def method_label(method: Method | Ensemble) -> str:
    """What `parse_method` makes the method of: its name, and the settings that are not the published ones."""
    fields = [(field.name, field.default) for field in dataclasses.fields(method)]  # type: ignore[arg-type]
    changed = [
        f"{name}={getattr(method, name)!r}" for name, value in fields if getattr(method, name) != value
    ]
    return f"{method.name}({', '.join(changed)})" if changed else method.name


def describe_method(method: Method) -> dict[str, Any]:
    """All that determines a method's state and scores, given the features."""
    settings = {field.name: getattr(method, field.name) for field in dataclasses.fields(METHODS[method.name])}
    return {"version": 1, "method": method.name} | settings
