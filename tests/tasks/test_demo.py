from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.store.store import Store
from tasks.core.drawings.draw import CATEGORIES
from tasks.demo import draw_dataset


def test_it_is_drawn_once_and_without_a_fork_of_a_process_that_has_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise AssertionError("a fork below threads")

    category, counts = next(iter(CATEGORIES.items()))
    few = {name: 1 for name, _ in zip(counts, range(3), strict=False)}
    monkeypatch.setattr("tasks.demo.CATEGORIES", {category: few})
    monkeypatch.setattr(os, "fork", fork)
    store = Store.open(tmp_path / "store", create=True)
    root = draw_dataset(store)
    drawn = {path: path.stat().st_mtime_ns for path in Path(root).rglob("*.png")}
    assert len([path for path in drawn if "ground_truth" not in path.parts]) == len(few)
    assert draw_dataset(store) == root
    assert {path: path.stat().st_mtime_ns for path in Path(root).rglob("*.png")} == drawn
