"""Options of settings and methods, derived from where these are declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tasks.core.config import Configuration
from tasks.core.grid import AXES, K
from tasks.core.methods.registry import METHODS
from tasks.core.methods.spade import Spade
from tasks.core.networks.traits import taken_level
from tasks.core.settings import declarations, listed
from tasks.methods.presets import PRESETS

OPEN = ("backbone", "weights", "upsampling", "gallery_seed", "dtype", "precision")  # what the paper leaves
_HEADINGS = {Configuration: "Settings of all methods", Spade: "Settings of spade"}
_DECLARED = {
    name: (declared, default, heading)
    for kind, heading in _HEADINGS.items()
    for name, declared, default in declarations(kind)
}
_MANY = tuple(name for name, (_, default, _) in _DECLARED.items() if isinstance(default, tuple))

Preset = Annotated[
    str,
    Parameter(name="--preset", help=f"{' or '.join(PRESETS)}: settings and methods, but for those named."),
]
Methods = Annotated[
    list[str] | None,
    Parameter(
        name="--method",
        help=f"{listed(METHODS)}; with settings as 'dn2(k=5)'; repeatable. Default: the preset's.",
    ),
]


@dataclass(frozen=True)
class Given:
    """What a user said of settings: a field each, None where nothing was said."""

    def values(self) -> dict[str, Any]:
        """Those that were given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def axes(self) -> dict[str, list[Any]]:
        """The values along each axis that was given; the parts of one value have commas between."""
        return {
            name: [tuple(map(taken_level, text.split(","))) for text in values] if name in _MANY else values
            for name, values in self.values().items()
        }


def _option(name: str) -> tuple[str, Any, None]:
    """One value of a setting; of one that has many, repeatable and in the singular."""
    if name in _MANY:
        return _field(name, list[str], name.removesuffix("s"), "; repeatable")
    return _field(name, _kind(name), name)


def _axis(name: str) -> tuple[str, Any, None]:
    """Several values of a setting, in an option that is repeatable."""
    if name == K:
        help = "both of --k-image and --k-gallery; repeatable"
        parameter = Parameter(name=f"--{K}", help=help, group=_HEADINGS[Spade])
        return name, Annotated[list[int] | None, parameter], None
    if name in _MANY:
        return _field(name, list[str], name, "; as 4,8,16; repeatable")
    kind = _kind(name)
    return _field(name, list[kind], name, "; repeatable")  # type: ignore[valid-type]


def _kind(name: str) -> type:
    declared, default, _ = _DECLARED[name]
    if default is None:
        return str if declared.low is None else int
    return type(default)


def _field(name: str, kind: Any, option: str, more: str = "") -> tuple[str, Any, None]:
    """A field of a dataclass for what is given of a setting."""
    declared, default, heading = _DECLARED[name]
    choices = f" [choices: {listed(declared.choices)}]" if declared.choices else ""
    shown = "" if default in (None, ()) else f" [default: {default}]"
    parameter = Parameter(
        name=f"--{option.replace('_', '-')}", help=f"{declared.help}{more}{choices}{shown}", group=heading
    )
    return name, Annotated[kind | None, parameter], None


def _options(title: str, names: Iterable[str], option: Callable[[str], tuple[str, Any, None]]) -> type[Given]:
    """A class with an option for each of these names, as `Given` says."""
    options = [option(name) for name in names]
    namespace = {"__module__": __name__}  # cyclopts does not look into classes of the standard library
    return Parameter(name="*")(
        make_dataclass(title, options, bases=(Given,), namespace=namespace, frozen=True)
    )


if TYPE_CHECKING:  # else these classes are made of what is declared
    Settings = Given
    Shared = Given
    Axes = Given
    Open = Given
else:
    Settings = _options("Settings", _DECLARED, _option)
    Shared = _options("Shared", [name for name in _DECLARED if name not in AXES], _option)
    Axes = _options("Axes", AXES, _axis)
    Open = _options("Open", OPEN, _option)
