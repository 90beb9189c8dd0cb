"""How long a night takes to look at a dataset of many files, and how many of them it reads.

python tests/benchmarks/many_files.py [FILES]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from storage.datasets.dataset import Dataset, read_content
from storage.datasets.images import encode_png
from storage.datasets.manifest import last_manifest
from storage.datasets.scan import read_manifest
from storage.store.store import Store
from storage.store.tables import table_bytes

_CATEGORIES = 10


def draw(root: Path, files: int) -> None:
    """Images of 8 by 8 pixels, each another, in categories of as many each."""
    rng = np.random.default_rng(0)
    for number in range(files):
        split = "train" if number % 5 else "test"
        folder = root / f"part{number % _CATEGORIES}" / split / "good"
        folder.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (folder / f"{number:06}.png").write_bytes(encode_png(values))


def night(root: Path, store: Store) -> tuple[float, int]:
    """Seconds and number of files that were read, from what the night before knew to what is known now."""
    read: list[str] = []

    def count(dataset: Dataset, name: str) -> bytes:
        read.append(name)
        return read_content(dataset, name)

    start = time.perf_counter()
    dataset = Dataset.at(root)
    known = last_manifest(store, dataset.name)
    with patch("storage.datasets.scan.read_content", count):
        manifest = read_manifest(dataset, known=known)
    store.write(store.manifest(dataset.name), table_bytes(manifest.table()))
    return time.perf_counter() - start, len(read)


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder) / "data", number)
        time.sleep(2.5)  # what changed a moment ago has no stamp
        kept = Store.open(f"{folder}/store", create=True)
        for name in ("first", "second"):
            seconds, reads = night(Path(folder) / "data", kept)
            print(f"{name} night over {number:,} files: {seconds:.1f} s, {reads:,} read", flush=True)
