"""What the C library does with freed memory. Nothing happens here where that library is not glibc."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
_LARGEST = 2**30  # bytes of an array that is made where another one was


def reuse() -> None:
    """Make large arrays where others were freed, instead of on new pages, each of which the system clears.

    For the rest of the process; before it has threads, which otherwise have memory of their own.
    """
    for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _LARGEST)):
        _call("mallopt", parameter, value)


def release() -> None:
    """Give it back to the system."""
    _call("malloc_trim", 0)


def _call(function: str, *numbers: int) -> None:
    with suppress(AttributeError, OSError, TypeError):
        getattr(ctypes.CDLL(None), function)(*numbers)
