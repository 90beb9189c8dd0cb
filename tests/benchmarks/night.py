"""A whole night over a dataset of the size of MVTec AD: seconds by step, memory, bytes written.

    python tests/benchmarks/night.py FOLDER [BACKBONE ...] [--every N]

The images are drawn into FOLDER, as many as MVTec AD has of each category (or every Nth) and as large, and
stay there. Each backbone has a store of its own and two nights: the first computes everything, the second
finds it. The weights of EfficientNet-Lite0 are the trained ones; wide_resnet50_2's are random with a seed, so
that its features are less alike than trained ones, and the search may leave out more or fewer of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image

from storage.datasets.published import PUBLISHED
from storage.results.reader import Results
from tasks.core.drawings.draw import CATEGORIES, draw

SIDES = {"bottle": 900, "capsule": 1000, "metal_nut": 700, "pill": 800, "tile": 840}  # of others 1024
DEFECTS = {"fabric": "stain", "gear": "stain", "connector": "bent"}
Drawing = tuple[str, str, str, int, int]


def drawings(every: int) -> Iterator[Drawing]:
    """Category, scene, kind, number and side of every Nth image."""
    (mvtec,) = (each for each in PUBLISHED if each.title == "MVTec AD")
    for place, (category, counts) in enumerate(mvtec.categories.items()):
        scene = list(CATEGORIES)[place % len(CATEGORIES)]
        side = SIDES.get(category, 1024)
        for kind, count in (
            ("train/good", counts.train),
            ("test/good", counts.test_normal),
            (f"test/{DEFECTS[scene]}", counts.test_anomalous),
        ):
            for number in range(0, count, every):
                yield category, scene, kind, number, side


@cache
def _noise(side: int) -> NDArray[np.int16]:
    return np.random.default_rng(side).normal(0, 1.5, (side, side, 3)).round().astype(np.int16)


def draw_one(root: Path, drawing: Drawing) -> None:
    """Draw an image and its mask, enlarged, with noise of its own."""
    category, scene, kind, number, side = drawing
    target = root / category / kind / f"{number:03}.png"
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    place = sum(map(ord, category))  # categories of one scene differ
    split, name = kind.split("/")
    image, mask = draw(scene, split, name, number, seed=place)
    large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC), np.int16)
    noise = np.roll(_noise(side), np.random.default_rng([place, number]).integers(side, size=2), (0, 1))
    if mask.any():
        truth = target.parents[2] / "ground_truth" / target.parent.name / f"{number:03}_mask.png"
        truth.parent.mkdir(parents=True, exist_ok=True)
        shown = Image.fromarray(mask).resize((side, side), Image.Resampling.NEAREST)
        shown.convert("L").save(truth)
    written = target.with_suffix(".part")
    photo = Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))
    photo.save(written, "png", compress_level=1)
    written.rename(target)


def weights_of(backbone: str, folder: Path) -> str:
    """The line of the registry that names weights, random ones where none are installed."""
    if backbone == "tf_efficientnet_lite0":
        return ""
    file = folder / f"{backbone}.pth"
    torch.manual_seed(0)
    torch.save(torchvision.models.get_model(backbone).state_dict(), file)
    return f'weights = "{file}"'


def night(registry: Path, store: Path) -> tuple[float, float]:
    """Seconds of `spade nightly`, and the most MiB that it held."""
    code = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024); sys.exit(code)"
    )
    spade = [sys.executable, "-m", "flows.cli.app", "nightly", "--registry", registry, "--store", store]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *map(str, spade)], stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start, float(done.stdout.decode().splitlines()[-1])


def main(folder: Path, backbones: list[str], every: int) -> None:
    """Draw what is not drawn yet, and run two nights of each backbone."""
    root, wanted = folder / f"mvtec-{every}", list(drawings(every))
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        list(pool.map(draw_one, [root] * len(wanted), wanted, chunksize=32))
    print(f"{len(wanted):,} images", flush=True)
    for backbone in backbones:
        store, registry = folder / f"store-{backbone}-{every}", folder / f"{backbone}.toml"
        shutil.rmtree(store, ignore_errors=True)
        settings = f'backbone = "{backbone}"\n{weights_of(backbone, folder)}'
        registry.write_text(
            f'[configurations.paper]\n{settings}\n[datasets.drawn]\nroot = "{root}"\n'
            'configurations = ["paper"]\n'
        )
        for name in ("first", "second"):
            seconds, mebibytes = night(registry, store)
            print(f"{backbone}, {name} night: {seconds:.0f} s, at most {mebibytes:,.0f} MiB", flush=True)
            by_step = Results(store).stages().groupby("step")["seconds"].sum()
            print("  " + ", ".join(f"{step} {of_step:.1f} s" for step, of_step in by_step.items()))
        written = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        print(f"  {written / 2**30:.1f} GiB in the store", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("backbones", nargs="*", default=["tf_efficientnet_lite0", "wide_resnet50_2"])
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    main(given.folder, given.backbones, given.every)
