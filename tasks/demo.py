"""The embedded dataset, drawn with a seed."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from storage.datasets.images import encode_png
from storage.store.location import Location, read_bytes
from storage.store.store import Store
from tasks.core.drawings.draw import CATEGORIES, DRAWINGS_VERSION, draw
from tasks.progress import report

SEED = 0


def draw_dataset(store: Store) -> Location:
    """The root of the demo dataset in the MVTec AD layout, drawn if this version of it is not there yet."""
    root = store.dataset("demo")
    marker = root.with_suffix(".json")
    version = json.dumps({"drawings": DRAWINGS_VERSION, "seed": SEED})
    if store.exists(root) and store.exists(marker) and read_bytes(marker) == version.encode():
        return root
    store.remove([marker, root])
    drawings = [
        (category, split, kind, number)
        for category, counts in CATEGORIES.items()
        for (split, kind), count in counts.items()
        for number in range(count)
    ]
    context = get_context("spawn")  # a fork would copy the locks that other threads hold at this moment
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for done, files in enumerate(pool.map(_draw_one, drawings, chunksize=8), start=1):
            store.write_all({root / name: content for name, content in files.items()})
            report("draw", None, done, len(drawings))
    store.write(marker, version.encode())
    return root


def _draw_one(drawing: tuple[str, str, str, int]) -> dict[str, bytes]:
    """An image and its mask, by their paths below the root."""
    category, split, kind, number = drawing
    image, mask = draw(category, split, kind, number, seed=SEED)
    files = {f"{category}/{split}/{kind}/{number:03}.png": encode_png(image)}
    if kind != "good":
        name = f"{category}/ground_truth/{kind}/{number:03}_mask.png"
        files[name] = encode_png(mask.astype("uint8") * 255)
    return files
