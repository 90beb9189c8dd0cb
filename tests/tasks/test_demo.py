from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from storage.store.store import Store
from tasks import demo


def test_images_are_drawn_beside_a_live_thread_without_forking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork copies the locks that other threads hold; Python warns of it from 3.12 on."""
    monkeypatch.setattr(demo, "CATEGORIES", {"gear": {("train", "good"): 2, ("test", "chip"): 1}})
    forked = []
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: forked.append(threading.active_count()) or fork())
    done = threading.Event()
    display = threading.Thread(target=done.wait)
    display.start()
    try:
        root = demo.draw_dataset(Store.open(str(tmp_path / "store"), create=True))
    finally:
        done.set()
        display.join()
    assert forked == []
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    assert found == [
        "gear/ground_truth/chip/000_mask.png",
        "gear/test/chip/000.png",
        "gear/train/good/000.png",
        "gear/train/good/001.png",
    ]
