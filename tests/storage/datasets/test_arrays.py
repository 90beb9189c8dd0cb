from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from storage.datasets.arrays import decode_array, read_slice, slice_name, slice_of
from storage.store.location import location, read_bytes


@given(arrays(st.sampled_from([np.uint8, np.bool_, np.float64]), array_shapes(max_side=4)), st.data())
def test_a_slice_is_the_slice_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, data: st.DataObject
) -> None:
    path = location(tmp_path_factory.getbasetemp() / "values.npy")
    np.save(path, values)
    np.testing.assert_array_equal(decode_array(read_bytes(path)), values)
    index = data.draw(st.integers(0, len(values) - 1))
    found = decode_array(read_slice(path, index))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values[index])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3), order="F"), "save it in C order"),
        (np.array([{}, {}]), "without objects"),
        (np.zeros((4, 2)), r"shape \(4, 2\) has no slice 4"),
        (np.array(3), r"shape \(\) has no slice 4"),
    ],
)
def test_what_has_no_such_slice_says_why(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "values.npy", values)
    with pytest.raises(ValueError, match=message):
        read_slice(location(tmp_path / "values.npy"), 4)


def test_bytes_that_are_no_whole_array_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "values.npy"
    np.save(path, np.zeros((3, 5)))
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"."):
            read_slice(location(path), 2)
        with pytest.raises(ValueError, match=r"."):
            decode_array(content)


def test_a_slice_is_named_by_file_and_number() -> None:
    assert slice_of(slice_name("a/b.npy", 12)) == ("a/b.npy", 12)
    assert slice_of("a/b#1.png") is None
    assert slice_of("a/b.npy") is None
