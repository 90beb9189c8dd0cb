"""Registered datasets: a TOML file that names them, their layouts, and the configurations to evaluate.

[configurations.NAME]           settings of `tasks.core.config.Configuration`
preset = "..."                  of `tasks.methods.presets`: what these settings start from; "paper" without it
methods = ["..."]               as in --method; those of the preset without it
[datasets.NAME]
root = "..."                    folder, relative to this file, or URL; ~ and ${VARIABLE} are replaced
categories = ["..."]            only these; all without it
configurations = ["..."]        names of the tables above
layout = { kind = "..." }       fields of a layout; MVTec AD without it
[gate]                          what a night is held to: `storage/datasets/gate.py`
[notify]                        who is told how it ended: `storage/datasets/notify.py`
[retention]                     what nightly keeps: `storage/datasets/retention.py`; all without it
[mlflow]                        where its runs are handed to: `storage/datasets/tracking.py`
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from storage.datasets.dataset import Dataset
from storage.datasets.gate import parse_gate
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.known import LAYOUTS, MVTEC, layout_named
from storage.datasets.notify import Notify
from storage.datasets.retention import Retention
from storage.datasets.tracking import Tracking
from storage.datasets.variables import replaced
from storage.errors import DatasetError
from storage.store.location import DEFAULT_REGISTRY, location

T = TypeVar("T")


@dataclass(frozen=True)
class Registration:
    """A dataset, its categories to evaluate (none for all), and the settings of each configuration."""

    dataset: Dataset
    categories: tuple[str, ...] = ()
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Registry:
    """What a file registers by name, and why an entry of it cannot be used; what else it declares, if any."""

    path: Path
    entries: Mapping[str, Registration]
    errors: Mapping[str, str]
    gate: Mapping[str, float] | None = None
    notify: Notify | None = None
    retention: Retention | None = None
    mlflow: Tracking | None = None

    def entry(self, name: str) -> Registration:
        """The entry of that name.

        Raises:
            DatasetError: there is none, or it cannot be used.
        """
        if name in self.errors:
            raise DatasetError(self.errors[name])
        if name not in self.entries:
            names = [*self.entries, *self.errors]
            near = get_close_matches(name, names) or names
            raise DatasetError(f"no dataset {name!r} in {self.path}: did you mean {', '.join(near)}?")
        return self.entries[name]


def read_registry(path: str | Path) -> Registry:
    """Every entry of the file that can be used, and for each other the reason.

    Raises:
        DatasetError: no such file, or not TOML, or what it declares beside datasets cannot be used.
    """
    path = Path(path).expanduser().absolute()
    try:
        content = tomllib.loads(path.read_text("utf-8"))
        gate = parse_gate(content["gate"]) if "gate" in content else None
        notify = _declared(Notify, "notify", content)
        retention = _declared(Retention, "retention", content)
        mlflow = _declared(Tracking, "mlflow", content)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"the registry {path} cannot be read ({error}): mend it or name another --registry"
        ) from error
    entries, errors = {}, {}
    for name, table in _tables(content, "datasets").items():
        try:
            entries[name] = _registration(path, name, table, _tables(content, "configurations"))
        except ValueError as error:
            errors[name] = f"{path}, dataset {name!r}: {error}"
    return Registry(path, entries, errors, gate, notify, retention, mlflow)


def retention_of(registry: str) -> Retention:
    """What the registry says is kept; the default where it says nothing, or the default registry is absent.

    Raises:
        DatasetError: as `read_registry`.
    """
    if _is_absent(registry):
        return Retention()
    return read_registry(registry).retention or Retention()


def resolve(name: str, registry: str = DEFAULT_REGISTRY, layout: str | None = None) -> Registration:
    """The entry of that name in the registry, or else the dataset in that folder or at that URL.

    Its layout is the one that is named, or else the one that its files show beyond doubt, or else MVTec AD's.
    The default registry need not exist.

    Raises:
        DatasetError: the registry or the entry cannot be read, or nothing is called so.
    """
    chosen = None if layout is None else layout_named(layout)
    if _is_absent(registry):
        return _plain(name, chosen)
    known = read_registry(registry)
    if name in known.entries or name in known.errors:
        entry = known.entry(name)
        return entry if chosen is None else replace(entry, dataset=replace(entry.dataset, layout=chosen))
    if "://" in name or os.sep in name or Path(name).expanduser().exists():
        return _plain(name, chosen)
    names = [*known.entries, *known.errors]
    near = get_close_matches(name, names) or names
    raise DatasetError(
        f"{name!r} is no folder, and no dataset in {known.path}: did you mean {', '.join(near)}?"
    )


def _is_absent(registry: str) -> bool:
    """Whether it is the default registry, and there is none: nobody asked for one."""
    return registry == DEFAULT_REGISTRY and not Path(registry).is_file()


def _plain(root: str, layout: Layout | None) -> Registration:
    return Registration(Dataset.at(root).recognised() if layout is None else Dataset.at(root, layout))


def build(kind: type[T], settings: Mapping[str, Any]) -> T:
    """A dataclass from the settings that a file gives.

    Raises:
        ValueError: the first setting that is unknown, missing or wrong, and what it may be.
    """
    names = [known.name for known in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    for name in settings:
        if name not in names:
            near = get_close_matches(name, names) or names
            raise ValueError(f"{name} is no setting: did you mean {', '.join(near)}?")
    try:
        return TypeAdapter(kind).validate_python(settings)
    except ValidationError as error:
        first = error.errors()[0]
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, ValueError):
            raise ValueError(str(cause)) from error
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where} is {first['input']!r}: {first['msg']}") from error


def _tables(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = content.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _declared(kind: type[T], name: str, content: Mapping[str, Any]) -> T | None:
    """The table of that name as a dataclass; None if there is none."""
    if name not in content:
        return None
    table = content[name]
    if not isinstance(table, Mapping):
        raise ValueError(f"{name} is {table!r}: write a table [{name}]")
    try:
        return build(kind, table)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _registration(path: Path, name: str, table: Any, configurations: Mapping[str, Any]) -> Registration:
    if not isinstance(table, Mapping):
        raise ValueError(f"it is {table!r}: write a table [datasets.{name}]")
    given = build(_Entry, table)
    for wanted in given.configurations:
        if wanted not in configurations:
            near = get_close_matches(wanted, configurations) or sorted(configurations)
            raise ValueError(f"no [configurations.{wanted}]: did you mean {', '.join(near)}?")
    return Registration(
        Dataset(_root(path, given.root), name, _layout(given.layout)),
        given.categories,
        {wanted: configurations[wanted] for wanted in given.configurations},
    )


@dataclass(frozen=True)
class _Entry:
    """A table [datasets.NAME] as it is written."""

    root: str
    categories: tuple[str, ...] = ()
    configurations: tuple[str, ...] = ()
    layout: dict[str, Any] = field(default_factory=lambda: {"kind": MVTEC.kind})


def _layout(settings: Mapping[str, Any]) -> Layout:
    kind = settings.get("kind")
    if kind not in LAYOUTS:
        raise ValueError(f"layout.kind is {kind!r}: it is one of {', '.join(LAYOUTS)}")
    try:
        return build(LAYOUTS[kind], settings)
    except ValueError as error:
        raise ValueError(f"layout: {error}") from error


def _root(path: Path, root: str) -> str:
    root = replaced("root", root)
    return str(location(root if "://" in root else path.parent / Path(root).expanduser()))
