"""The embedded dataset, drawn with a seed."""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from storage.datasets.images import encode_png
from storage.errors import StoreError
from storage.store.store import Store
from tasks.core.drawings.draw import CATEGORIES, DRAWINGS_VERSION, draw
from tasks.progress import report

SEED = 0


def draw_dataset(store: Store) -> Path:
    """The root of the demo dataset in the MVTec AD layout, drawn if this version of it is not there yet.

    Raises:
        StoreError: the store is in a bucket.
    """
    root = store.dataset("demo")
    if not isinstance(root, Path):
        raise StoreError(
            f"the demo draws its images into a folder, not to {root}: name a folder with --store"
        )
    marker = root.with_suffix(".json")
    version = json.dumps({"drawings": DRAWINGS_VERSION, "seed": SEED})
    if root.is_dir() and marker.exists() and marker.read_text() == version:
        return root
    store.remove([marker, root])
    drawings = [
        (root, category, split, kind, number)
        for category, counts in CATEGORIES.items()
        for (split, kind), count in counts.items()
        for number in range(count)
    ]
    processes = multiprocessing.get_context(
        "forkserver"
    )  # to fork this one is unsafe: its display is a thread
    processes.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(os.cpu_count(), processes) as pool:
        for done, _ in enumerate(pool.map(_draw_one, drawings, chunksize=8), start=1):
            report("draw", None, done, len(drawings))
    store.write(marker, version.encode())
    return root


def _draw_one(drawing: tuple[Path, str, str, str, int]) -> None:
    root, category, split, kind, number = drawing
    image, mask = draw(category, split, kind, number, seed=SEED)
    _write(root / category / split / kind / f"{number:03}.png", encode_png(image))
    if kind != "good":
        path = root / category / "ground_truth" / kind / f"{number:03}_mask.png"
        _write(path, encode_png(mask.astype("uint8") * 255))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
