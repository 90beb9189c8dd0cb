"""Best matches of reports, against plain loops over the images that the method compares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tasks.core.matching.correspondence import hottest_cell
from tasks.core.matching.retrieval import random_order
from tasks.core.methods.registry import parse_method
from tasks.core.methods.spade import Spade
from tasks.methods.matches import Match
from tasks.report.matches import matches
from tasks.report.source import Source

from .conftest import LABELS


def compared(source: Source, spade: Spade, key: str, keys: list[str]) -> list[int]:
    """Positions of the training images whose patches compete."""
    if spade.gallery == "random":
        return random_order(keys, key, spade.gallery_seed)[: spade.k_gallery]
    if spade.gallery == "all":
        return list(range(len(keys)))
    query, *rows = source.features.embeddings([key, *keys]).astype(np.float64)
    if spade.retrieval == "cosine":
        query, *rows = (vector / np.linalg.norm(vector) for vector in (query, *rows))
    squared = [float(((row - query) ** 2).sum()) for row in rows]
    return sorted(range(len(keys)), key=lambda position: squared[position])[: spade.k_gallery]


@pytest.mark.parametrize("label", [label for label in LABELS if parse_method(label).correspondence])
def test_the_nearest_patch_of_the_images_that_compete(label: str, every_method: Path) -> None:
    source = Source(str(every_method), "second", label)
    category = next(row for row in source.categories if row["category"] == "nut")
    part, scores = source.manifest.of("nut"), source.scores(category)
    (spade,) = [member for member in source.settled(category["train"]).members if isinstance(member, Spade)]
    with ThreadPoolExecutor(2) as pool:
        found = matches(source, scores, part.test(), part.train(), spade, pool)
    keys = [image.key for image in part.train()]
    assert found.keys() == {image.image_id for image in part.test()}
    for image in part.test():
        listed = found[image.image_id]
        assert not isinstance(listed, str)
        positions = compared(source, spade, image.key, keys)
        assert len(positions) == (len(keys) if spade.gallery == "all" else min(spade.k_gallery, len(keys)))
        grids = spade.grids(source.features.pyramid(image.key, spade.levels))
        for number, (match, grid) in enumerate(zip(listed, grids, strict=True)):
            row, column = hottest_cell(scores.anomaly_map(image.key), (grid.shape[0], grid.shape[1]))
            best = (np.inf, -1, 0, 0)
            for position in positions:
                other = spade.grids(source.features.pyramid(keys[position], spade.levels))[number]
                for there in np.ndindex(*other.shape[:2]):
                    if spade.window and max(abs(there[0] - row), abs(there[1] - column)) > spade.window:
                        continue
                    squared = float(((other[there].astype(np.float64) - grid[row, column]) ** 2).sum())
                    best = min(best, (squared, position, *there))
            side = grid.shape[0]
            assert isinstance(match, Match)
            assert match.squared_distance == pytest.approx(best[0])
            assert match.distance == pytest.approx(best[0] / 2 if spade.distance == "cosine" else best[0])
            if spade.window:
                assert match.window is not None
                left, top, right, bottom = match.window
                assert left <= match.there[0] <= right
                assert top <= match.there[1] <= bottom
                assert round((right - left) * side) <= 2 * spade.window + 1
            else:
                assert match.window is None
            assert match.training.key == keys[best[1]]
            assert match.at == pytest.approx(((column + 0.5) / side, (row + 0.5) / side))
            assert match.there == pytest.approx(((best[3] + 0.5) / side, (best[2] + 0.5) / side))
            assert match.levels == spade.grid_levels()[number]


def test_a_random_gallery_is_another_than_the_nearest(every_method: Path) -> None:
    """Else the test above would not tell them apart."""
    source = Source(str(every_method), "second", next(label for label in LABELS if "random" in label))
    part = source.manifest.of("nut")
    (spade,) = source.settled(len(part.train())).members
    assert isinstance(spade, Spade)
    keys = [image.key for image in part.train()]
    nearest = parse_method("spade(k_gallery=2)")
    assert isinstance(nearest, Spade)
    sets = [
        (set(compared(source, spade, image.key, keys)), set(compared(source, nearest, image.key, keys)))
        for image in part.test()
    ]
    assert any(one != other for one, other in sets)


def test_features_that_are_gone_are_the_reason(every_method: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(str(every_method), "second", LABELS[0])
    category = next(row for row in source.categories if row["category"] == "nut")
    part, (spade,) = source.manifest.of("nut"), source.settled(category["train"]).members

    def gone(*_: object) -> None:
        raise KeyError("gone")

    for name in ("embeddings", "pyramid"):
        with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
            patch.setattr(f"storage.computed.features.Features.{name}", gone)
            found = matches(source, source.scores(category), part.test(), part.train(), spade, pool)
        assert set(map(str, found.values())) == {
            "the features are no longer in the store: evaluate the dataset again"
        }
