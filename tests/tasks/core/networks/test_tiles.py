from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.networks.backbone import Backbone
from tasks.core.networks.levels import make_network
from tasks.core.networks.tiles import features, spans, tile_count
from tasks.core.networks.traits import Level


def plain_stitch(
    backbone: Backbone, image: NDArray[np.float32], settings: Configuration
) -> tuple[NDArray[np.float64], dict[Level, NDArray[np.float32]]]:
    """Each cell of the whole grid from the tile in which it lies farthest inside, tile by tile."""
    tile, step = settings.tile or 0, (settings.tile or 0) - settings.overlap
    _, height, width = image.shape
    rows = [*range(0, height - tile, step), height - tile]
    columns = [*range(0, width - tile, step), width - tile]
    passed = {
        (y, x): backbone(torch.from_numpy(image[None, :, y : y + tile, x : x + tile]))
        for y in rows
        for x in columns
    }
    levels = {}
    for level, grid in settings.grids.items():
        channels = passed[0, 0][1][level].shape[3]
        cells = np.zeros((grid.rows, grid.columns, channels), np.float32)
        for row in range(grid.rows):
            for column in range(grid.columns):
                y, x = (
                    min(starts, key=lambda start: (abs(at - start - tile / 2), -start))
                    for starts, at in (
                        (rows, middle(row, grid.stride)),
                        (columns, middle(column, grid.stride)),
                    )
                )
                found = passed[y, x][1][level][0].numpy()
                cells[row, column] = found[row - y // grid.stride, column - x // grid.stride]
        levels[level] = cells
    return np.mean([each[0][0].numpy() for each in passed.values()], axis=0), levels


def middle(cell: int, stride: int) -> float:
    """The middle of the block of 16 pixels, the coarsest cell, in which a cell lies."""
    return cell * stride // 16 * 16 + 8


@pytest.mark.parametrize(
    ("backbone", "settings", "count"),
    [
        ("resnet18", {"input": "112x160", "tile": 64, "overlap": 16}, 6),
        ("resnet18", {"input": "112x160", "tile": 64, "overlap": 32, "layers": ("layer1.0", 16)}, 12),
        ("test_vit", {"input": "64x176", "tile": 64, "layers": ("blocks.1", "blocks.3+norm")}, 3),
        ("test_vit", {"input": 64, "tile": 64}, 1),
    ],
)
def test_tokens_of_tiles_form_one_grid(backbone: str, settings: dict[str, Any], count: int) -> None:
    chosen = Configuration(backbone=backbone, **settings)
    size = chosen.preprocessing.frame(1, 1).size
    torch.manual_seed(0)
    network = make_network(backbone, (64, 64))
    passing = Backbone(backbone, network.state_dict(), size=(64, 64), layers=chosen.layers)
    image = np.random.default_rng(0).normal(size=(3, *size)).astype(np.float32)
    assert tile_count(size, chosen.grids, chosen.tile, chosen.overlap) == count
    embeddings, levels = features(
        passing, [image, image], chosen.preprocessing, chosen.grids, batch_size=4, dtype=np.dtype(np.float32)
    )
    embedding, expected = plain_stitch(passing, image, chosen)
    assert levels.keys() == expected.keys()
    for level, cells in expected.items():
        assert levels[level].shape == (2, *chosen.grids[level][:2], cells.shape[2])
        np.testing.assert_allclose(levels[level][1], cells, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(embeddings[0], embedding, rtol=1e-4, atol=1e-5)


def test_spans_cover_an_axis_once() -> None:
    for length, tile, overlap in ((640, 64, 16), (656, 64, 0), (64, 64, 48), (1008, 448, 112)):
        found = spans(length, tile, overlap, 16)
        covered = [pixel for span in found for pixel in range(span.first, span.end)]
        assert covered == list(range(length))
        assert all(span.start <= span.first < span.end <= span.start + tile for span in found)
        assert all(edge % 16 == 0 for span in found for edge in span)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"input": "3000x4000", "tile": 448},
            "input is 3000: with tiles all lengths are multiples .* 16: name 3008",
        ),
        ({"input": 448, "tile": 100}, "tile is 100"),
        ({"input": 448, "tile": 112, "overlap": 8}, "overlap is 8"),
        ({"input": 448, "tile": 112, "overlap": 112}, "tile is 112: it is more than the overlap, 112"),
        ({"input": "448x64", "tile": 112}, "at most the shorter side of the input, 64"),
    ],
)
def test_lengths_that_cannot_be_tiled_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        assert Configuration(**settings).grids
