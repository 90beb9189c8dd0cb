"""Settings that are declared once, as fields of frozen dataclasses, and checked when these are made.

Options of commands, axes of sweeps, columns of tables, keys and the comparison with published figures are
derived from these declarations.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from tasks.core.errors import ConfigurationError

Determines = Literal["features", "maps", "method", "verdicts"]


@dataclass(frozen=True)
class Setting:
    """What a setting means and may be.

    Attributes:
        help: a phrase for options and columns.
        choices: its values; none for any.
        low: smallest value.
        high: largest value.
        above: number that it exceeds.
        below: number that exceeds it.
        noun: what it is, where the type of its default does not say it well.
        determines: what is computed anew when it changes: features, the maps of all methods, one method, or
            nothing but verdicts.
        stated: whether the paper states it; then the default is the paper's value.
        absent: its value in keys that do not hold it; none if all do.
    """

    help: str
    choices: Sequence[Any] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    noun: str = ""
    determines: Determines = "method"
    stated: bool = False
    absent: tuple[Any, ...] = ()

    def check(self, name: str, value: Any, default: Any) -> None:
        """Raise ConfigurationError unless a setting of this default may have the value."""
        if self.choices:
            if value not in self.choices:
                raise ConfigurationError(
                    f"{name} is {value!r}: {suggestion(value, self.choices)}"
                    f"it is one of {listed(self.choices)}"
                )
            return
        if value is None and default is None:
            return
        if isinstance(default, tuple):
            if not isinstance(value, tuple):
                raise ConfigurationError(f"{name} is {value!r}: it is a list, as (8, 16)")
            return
        if all(bound is None for bound in (self.low, self.high, self.above, self.below)):
            if not isinstance(value, str | type(default)) or isinstance(value, bool):
                raise ConfigurationError(f"{name} is {value!r}: it is a text")
            return
        whole = isinstance(default, int) or default is None
        is_number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not (is_number and self._holds(value)):
            noun = self.noun or ("whole number" if whole else "number")
            raise ConfigurationError(f"{name} is {value!r}: it is a {noun}, {self._range()}")

    @staticmethod
    def taken(value: Any, default: Any) -> Any:
        """The value as a setting of this default holds it, so that equal settings have equal keys."""
        if isinstance(default, tuple) and isinstance(value, list):
            return tuple(value)
        if isinstance(default, float) and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        return value

    def _holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _range(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{self.low:g} or more" + ("" if self.below is None else f" and below {self.below:g}")
        upper = ""
        if self.high is not None:
            upper = f" and at most {self.high:g}"
        elif self.below is not None:
            upper = f" and below {self.below:g}"
        return f"above {self.above:g}{upper}"


def setting(default: Any, help: str, *, later: bool = False, **limits: Any) -> Any:
    """A field of `Settings` with this default; `limits` as the attributes of `Setting`.

    One that came `later` than stored results has its default in keys that do not hold it.
    """
    absent = (default,) if later else ()
    return field(default=default, metadata={"setting": Setting(help, absent=absent, **limits)})


def with_default(kind: type[Settings], name: str, default: Any) -> Any:
    """A field of a class derived from `kind`: as there, with another default."""
    (metadata,) = (each.metadata for each in dataclasses.fields(kind) if each.name == name)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """Base of frozen dataclasses of settings; ConfigurationError names the first that is wrong."""

    def __post_init__(self) -> None:
        """Check each setting against its declaration; lists become tuples, whole numbers floats."""
        for name, declared, default in declarations(type(self)):
            value = declared.taken(getattr(self, name), default)
            declared.check(name, value, default)
            object.__setattr__(self, name, value)

    def values(self) -> dict[str, Any]:
        """Every setting by name."""
        return {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}

    def keyed(self) -> dict[str, Any]:
        """The settings that keys hold, by name."""
        absent = {name: declared.absent for name, declared, _ in declarations(type(self))}
        return {name: value for name, value in self.values().items() if value not in absent.get(name, ())}

    def changed(self) -> dict[str, Any]:
        """The settings that are not the defaults, by name."""
        return {
            each.name: getattr(self, each.name)
            for each in dataclasses.fields(self)
            if getattr(self, each.name) != each.default
        }


def declarations(kind: type[Settings]) -> Iterator[tuple[str, Setting, Any]]:
    """Name, declaration and default of each declared setting of a class, in order."""
    for each in dataclasses.fields(kind):
        if "setting" in each.metadata:
            yield each.name, each.metadata["setting"], each.default


def make(kind: type[Any], name: str, settings: Mapping[str, Any]) -> Any:
    """A dataclass called `name` to the user from settings.

    Raises:
        ConfigurationError: it has no such setting, or a value is out of its range.
    """
    names = [each.name for each in dataclasses.fields(kind)]
    for given in settings:
        if given not in names:
            raise ConfigurationError(
                f"{name} has no setting {given!r}: {suggestion(given, names)}it has {listed(names)}"
            )
    return kind(**settings)


def suggestion(value: Any, allowed: Sequence[Any]) -> str:
    """The nearest of the allowed values as a question, empty if none is near."""
    near = get_close_matches(str(value), [str(item) for item in allowed], n=3, cutoff=0.5)
    return f"did you mean {listed(near)}? " if near else ""


def listed(values: Sequence[Any]) -> str:
    """Values with commas between them."""
    return ", ".join(str(value) for value in values)
