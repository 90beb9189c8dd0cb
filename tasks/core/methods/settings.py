"""Checks of methods' settings."""

from __future__ import annotations

from tasks.core.config import ConfigurationError


def check_whole(**settings: int) -> None:
    """Raise ConfigurationError unless all are whole numbers from 1."""
    for name, value in settings.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigurationError(f"{name} is {value!r}: it is a whole number, 1 or more")


def check_share(**settings: float) -> None:
    """Raise ConfigurationError unless all are above 0 and at most 1."""
    for name, value in settings.items():
        if not (isinstance(value, int | float) and 0 < value <= 1):
            raise ConfigurationError(f"{name} is {value!r}: it is a share, above 0 and at most 1")


def check_strides(strides: tuple[int, ...]) -> None:
    """Raise ConfigurationError unless there is one, each is a whole number, and they ascend."""
    if not strides or list(strides) != sorted(set(strides)):
        raise ConfigurationError(f"strides is {strides!r}: name at least one level, finest first")
    check_whole(**{f"stride {number}": stride for number, stride in enumerate(strides, start=1)})
