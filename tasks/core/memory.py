"""What the C library keeps of memory that was freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def release() -> None:
    """Give it back to the system: each thread's is for that thread, and what comes next runs in others.

    Nothing happens where the library is not glibc.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
