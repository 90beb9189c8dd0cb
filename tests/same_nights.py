"""The same nights in several stores while images come, change and go; and all that a store holds of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tiny import spade, write_category, write_image

from flows.nightly import nightly
from storage.results.reader import Results
from storage.results.schemas import TABLES
from storage.store.location import Location, read_bytes
from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.tables import parse_table

FOLDERS = ("train/good", "test/square", "test/good")
_OF_ITS_OWN = {"run", "started", "finished", "seconds", "peak_memory_mib"}  # columns
_OF_CHANCE = {"segment", "row", "arrays"}  # of records: where a row lies


def draw(root: Path, weights: Path, categories: Sequence[str]) -> Path:
    """A dataset, and a registry that evaluates it by SPADE and a method that learns something."""
    for seed, category in enumerate(categories):
        write_category(root / "data", category, seed=seed)
    methods = [spade().label, "padim(dimensions=5)"]
    registry = root / "datasets.toml"
    registry.write_text(
        f'[configurations.few]\nbackbone = "resnet18"\nweights = "{weights}"\nmetric_resolution = 64\n'
        f"sigma = 1.0\nmethods = {methods}\n"
        '[datasets.data]\nroot = "data"\nconfigurations = ["few"]\n'
    )
    return registry


def change(root: Path, night: int) -> None:
    """An image of a folder goes, with its mask, one changes, and one comes."""
    chance = np.random.default_rng(night)
    categories = sorted((root / "data").iterdir())
    category = categories[night % len(categories)]
    folder = category / FOLDERS[night % 3]
    first, second, *_ = chance.permutation(sorted(folder.iterdir()))
    first.unlink()
    new = folder / f"new{night}.png"
    for path in (second, new):
        write_image(path, chance.integers(0, 256, (40, 49, 3), dtype=np.uint8))
    if folder.name == "square":
        masks = category / "ground_truth" / "square"
        (masks / f"{first.stem}_mask.png").unlink()
        write_image(
            masks / f"{new.stem}_mask.png", np.pad(np.full((7, 6), 255, np.uint8), ((9, 24), (9, 34)))
        )


def nights(root: Path, registry: Path, stores: Sequence[str], count: int) -> None:
    """So many nights in each store, on the same images."""
    for night in range(count):
        if night:
            change(root, night)
        for store in stores:
            nightly(str(registry), store)


def held(store: Store) -> dict[str, Any]:
    """All tables of all runs, and all that is computed, by name; without times and what chance names."""
    found: dict[str, Any] = {}
    results = Results(store.root)
    runs = [row["run"] for row in results.rows("runs")]
    places = {run: str(place) for place, run in enumerate(runs)}
    for run in runs:
        for table in (TABLES.keys() - {"runs", "reproduction"}) | {"run"}:
            rows = results.rows(table, run)
            found[f"runs/{places[run]}/{table}"] = [
                {
                    name: places.get(value, value) if isinstance(value, str) else value
                    for name, value in row.items()
                    if name not in _OF_ITS_OWN
                }
                for row in rows
            ]
    for group in (store.looks(), *store.entries(store.features()), *store.entries(store.scores())):
        found |= _rows(store, group)
    found["alike"] = sorted(
        (group.name, each.name.partition("~")[2])
        for group in store.entries(store.alike(""))
        for each in store.entries(group)
    )
    for folder in ("indices", "states"):
        found |= {_name(store, path): read_bytes(path) for path in _files(store.root / folder)}
    for path in _files(store.scores()):
        if not {"records", "segments"} & {*_name(store, path).split("/")}:
            found[_name(store, path)] = read_bytes(path)
    return found


def _rows(store: Store, group: Location) -> Iterator[tuple[str, Any]]:
    """What is recorded of each image in a group of segments, and the digests of its arrays."""
    segments = Segments(store, group)
    for path in store.entries(group / "records", ".parquet"):
        for row in parse_table(read_bytes(path)).to_pylist():
            sha256 = row["sha256"]
            arrays = segments._records.place(sha256).arrays
            kept = {name: value for name, value in row.items() if name not in _OF_CHANCE}
            kept |= {
                name: hashlib.sha256(segments.read(sha256, name).tobytes()).hexdigest() for name in arrays
            }
            yield f"{_name(store, group)}/{sha256}", kept


def _files(folder: Location) -> Iterator[Location]:
    for entry in folder.medium.entries(folder.path):
        path = folder / entry.name
        yield from _files(path) if entry.is_folder else [path]


def _name(store: Store, path: Location) -> str:
    return str(path).removeprefix(f"{store.root}/")
