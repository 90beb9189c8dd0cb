"""Arrays in .npy files, whole or a slice at a time."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from storage.store.location import Location

_SLICE = re.compile(r"(.+\.(?:npy|json))#(\d+)")
_LONGEST_HEADER = 4096  # bytes; numpy writes 128 for a plain array
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def slice_name(name: str, index: int) -> str:
    """How slice `index` of the first axis of an array's file, or an entry of a JSON file, is named."""
    return f"{name}#{index}"


def slice_of(name: str) -> tuple[str, int] | None:
    """File and index that `slice_name` was given, or None for any other name."""
    found = _SLICE.fullmatch(name)
    return None if found is None else (found[1], int(found[2]))


def decode_array(content: bytes) -> NDArray[Any]:
    """The array in the bytes of a file.

    Raises:
        ValueError: it is no array.
    """
    try:
        array: NDArray[Any] = npy.read_array(io.BytesIO(content), allow_pickle=False)
    except EOFError as error:
        raise ValueError("the file is truncated") from error
    return array


def read_slice(path: Location, index: int) -> bytes:
    """Slice `index` of the first axis, as a file of its own; the rest is not read.

    Raises:
        OSError, ValueError: no such file, or it holds no such slice.
    """
    file = io.BytesIO(path.medium.read_part(path.path, 0, _LONGEST_HEADER))
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format is not supported: save it anew")
    shape, fortran, dtype = _HEADERS[version](file)
    if fortran or dtype.hasobject:
        raise ValueError("its slices are not in one piece: save it in C order, without objects")
    if not shape or index >= shape[0]:
        raise ValueError(f"shape {shape} has no slice {index}")
    size = math.prod(shape[1:]) * dtype.itemsize
    content = path.medium.read_part(path.path, file.tell() + index * size, size)
    if len(content) < size:
        raise ValueError("the file is truncated")
    sink = io.BytesIO()
    npy.write_array(sink, np.frombuffer(content, dtype).reshape(shape[1:]), version=(1, 0))
    return sink.getvalue()
