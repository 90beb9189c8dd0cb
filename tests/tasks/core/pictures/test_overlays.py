from __future__ import annotations

import numpy as np
import pytest

from tasks.core.config import Configuration, Protocol
from tasks.core.pictures.overlays import (
    PREDICTED,
    TRUTH,
    cut_out,
    enlarged,
    evaluated_area,
    heat,
    marked,
    outline,
)

COLOURS = np.stack([np.arange(256), np.zeros(256), 255 - np.arange(256)], axis=1).astype(np.uint8)


@pytest.mark.parametrize(("protocol", "margin"), [("paper", 1 / 16), ("full", 0)])
def test_the_tile_is_the_area_that_the_backbone_sees(protocol: Protocol, margin: float) -> None:
    rows, columns = np.mgrid[0:160, 0:320]
    image = np.stack([rows, columns * 0.75, np.zeros_like(rows)], axis=2).astype(np.uint8)
    tile = evaluated_area(image, Configuration(protocol=protocol).preprocessing, 32)
    assert tile.shape == (32, 32, 3)
    for share, at in ((margin, 0), (0.5, 16), (1 - margin, 31)):
        assert int(tile[at, 0, 0]) == pytest.approx(share * 160, abs=4)
        assert int(tile[0, at, 1]) == pytest.approx(share * 320 * 0.75, abs=6)


def test_a_map_keeps_its_values_when_enlarged() -> None:
    values = np.array([[0, 1], [2, 3]], np.float32)
    large = enlarged(values, 64)
    assert (large[0, 0], large[0, -1], large[-1, 0], large[-1, -1]) == (0, 1, 2, 3)
    assert large.mean() == pytest.approx(1.5)


def test_heat_is_clear_below_its_scale_and_coloured_above() -> None:
    tile = np.full((2, 2, 3), 100, np.uint8)
    values = np.array([[-5, 1], [2, 99]], np.float32)
    shown = heat(tile, values, (1, 3), COLOURS)
    assert shown[0, 0].tolist() == shown[0, 1].tolist() == [100, 100, 100]
    assert shown[1, 1].tolist() == [224, 20, 20]
    assert 100 < shown[1, 0, 0] < 224
    assert heat(tile, values, (2, 2), COLOURS).dtype == np.uint8


def test_outline_is_inside_the_mask_and_open_at_the_border() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:, 2:7] = True
    line = outline(mask, 1)
    expected = mask.copy()
    expected[3:, 3:6] = False
    assert (line == expected).all()


def test_marks_are_where_the_masks_are() -> None:
    tile = np.full((20, 20, 3), 200, np.uint8)
    predicted, truth = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    predicted[2:6, 2:6] = True
    truth[10:18, 10:18] = True
    shown = marked(tile, predicted, truth)
    assert shown[3, 3].tolist() == [round(0.4 * 200 + 0.6 * value) for value in PREDICTED]
    assert shown[10, 12].tolist() == list(TRUTH)
    assert shown[14, 14].tolist() == shown[0, 0].tolist() == [200, 200, 200]
    assert shown[9, 12].tolist() == [70, 70, 70]
    assert (marked(tile, predicted, None)[8:] == 200).all()
    assert (cut_out(tile, predicted)[2:6, 2:6] == 200).all()
    assert (cut_out(tile, predicted)[7:] == 118).all()
