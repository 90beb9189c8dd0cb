"""Whether a store in a bucket and one in a folder are equal after the same nights, as a Markdown table."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import same_nights
import torch
import torchvision
from prefect.testing.utilities import prefect_test_harness

from storage.results.reader import Results
from storage.store.connection import make_bucket
from storage.store.store import Store

NIGHTS = 30


def main(folder: Path) -> None:
    """Run the nights in both, and print how much is the same; the server is in the environment."""
    torch.manual_seed(0)
    weights = folder / "resnet18.pth"
    torch.save(torchvision.models.resnet18().state_dict(), weights)
    registry = same_nights.draw(folder, weights, ["nut", "pin"])
    make_bucket("s3://equal")
    stores = [str(folder / "equal"), "s3://equal/store"]
    start = time.perf_counter()
    with prefect_test_harness(server_startup_timeout=120):
        same_nights.nights(folder, registry, stores, NIGHTS)
    seconds = time.perf_counter() - start
    here, there = (same_nights.held(Store.open(store)) for store in stores)
    kinds = Counter(row["kind"] for run in range(NIGHTS) for row in here[f"runs/{run}/changes"])
    computed = sum(row["computed"] for run in range(NIGHTS) for row in here[f"runs/{run}/stages"])
    changes = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"\n{NIGHTS} nights in each of two stores, {seconds:.0f} s: images {changes}")
    print(
        f"{computed} items computed; runs: {', '.join(str(len(Results(store).runs())) for store in stores)}"
    )
    print("\n| what | compared | different |\n| --- | ---: | ---: |")
    for kind in sorted({name.partition("/")[0] for name in here.keys() | there.keys()}):
        names = [name for name in here.keys() | there.keys() if name.partition("/")[0] == kind]
        different = [name for name in names if here.get(name) != there.get(name)]
        print(f"| {kind} | {len(names)} | {len(different)} |")
        for name in different[:10]:
            print(f"  {name}")
