from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny import write_image

from storage.datasets.dataset import Dataset
from storage.datasets.layouts.known import LAYOUTS, MVTEC
from storage.datasets.published import PUBLISHED, compare, known_dataset
from storage.datasets.scan import read_manifest


@pytest.mark.parametrize(
    ("title", "totals"),
    [
        ("MVTec AD", (3629, 467, 1258, 0)),
        ("VisA", (8659, 962, 1200, 0)),
        ("MVTec LOCO AD", (1772, 575, 993, 304)),
        ("MPDD", (888, 176, 282, 0)),
    ],
)
def test_the_categories_add_up_to_the_published_totals(title: str, totals: tuple[int, ...]) -> None:
    (known,) = (each for each in PUBLISHED if each.title == title)
    assert tuple(map(sum, zip(*known.categories.values(), strict=True))) == totals
    assert set(known.layouts) <= set(LAYOUTS)


def test_a_dataset_is_known_by_its_layout_and_all_its_categories() -> None:
    visa = known_dataset(LAYOUTS["visa"](), ["candle", "pcb1"])
    assert visa is not None
    assert visa.title == "VisA"
    assert known_dataset(LAYOUTS["visa"](), ["candle", "nut"]) is None
    assert known_dataset(MVTEC, ["candle"]) is None
    assert known_dataset(MVTEC, []) is None


def test_what_is_there_is_counted(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("train/good/0", "train/good/1", "test/good/0", "test/bent/0", "test/cut/0")
    ):
        write_image(tmp_path / f"grid/{name}.png", np.full((4, 5), number, np.uint8))
    (tmp_path / "grid/train/good/2.png").write_bytes(b"")
    known = known_dataset(MVTEC, ["grid"])
    assert known is not None
    assert [str(row) for row in compare(read_manifest(Dataset.at(tmp_path)), known)] == [
        "MVTec AD grid: 2 of 264 train",
        "MVTec AD grid: 1 of 21 test good",
        "MVTec AD grid: 2 of 57 test defects",
    ]


def test_the_real_bottle_is_whole(shared_data: Path) -> None:
    root = Dataset.at(shared_data / "mvtec")
    known = known_dataset(MVTEC, ["bottle"])
    assert known is not None
    assert all(row.found == row.published for row in compare(read_manifest(root), known))
