from __future__ import annotations

import numpy as np

from tasks.core.matching.foreground import foreground


def scene(inside: float, *, rows: slice = slice(3, 9), columns: slice = slice(4, 11)) -> np.ndarray:
    """A bright or dark object on even ground, with a little noise."""
    level = np.random.default_rng(0).normal(0, 0.1, (12, 15, 6)).astype(np.float32)
    level[rows, columns] += inside
    return level


def expected(rows: slice, columns: slice) -> np.ndarray:
    """The object, a patch wider on both sides of each row, and closed in reading order."""
    mask = np.zeros((12, 15), bool)
    mask[rows, columns.start - 1 : columns.stop + 1] = True
    return mask


def test_an_object_in_the_middle_is_kept_whichever_way_it_differs() -> None:
    for inside in (20.0, -20.0):
        found = foreground(scene(inside))
        np.testing.assert_array_equal(found, expected(slice(3, 9), slice(4, 11)))


def test_what_lies_below_the_threshold_is_no_object() -> None:
    assert not foreground(scene(1.0)).any()


def test_a_hole_of_two_patches_in_a_row_is_closed() -> None:
    level = scene(20.0)
    level[5, 6:8] = 0
    np.testing.assert_array_equal(foreground(level), expected(slice(3, 9), slice(4, 11)))


def test_patches_are_neighbours_in_reading_order() -> None:
    """An object at the right border reaches the first patch of the next row, as in the authors' code."""
    found = foreground(scene(20.0, columns=slice(4, 15)))
    assert found[3:9, 0].tolist() == [False, True, True, True, True, True]
    assert found[9, 0]
