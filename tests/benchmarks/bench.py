"""Times, deviations and memory of SPADE against named alternatives, in one run: `make bench`."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import baselines
import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from storage.computed.features import Features
from storage.datasets.dataset import Dataset
from storage.datasets.manifest import Manifest
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.matching.matching import Pyramid, match
from tasks.core.matching.retrieval import build_index, nearest
from tasks.core.metrics.ranking import pixel_metrics, profiled_pixel_metrics
from tasks.demo import draw_dataset
from tasks.job import Job, Request
from tasks.methods import spade as score_step
from tasks.methods.index import index
from tasks.run.extract import extract
from tasks.run.ingest import has_bfloat16, ingest, prepare

K = 50
BOTTLE = Path(__file__).parents[3] / "shared" / "data" / "mvtec"


@dataclass(frozen=True)
class Row:
    """One case: seconds of SPADE and of the alternative, and the MiB that each needed.

    `deviation` is SPADE's: the largest relative one from float64 distances at 64 positions, or from
    scikit-learn's figures.
    """

    case: str
    alternative: str
    seconds: float
    alternative_seconds: float | None
    ratio: float | None
    wanted: float | None
    deviation: float | None
    peak_mib: float
    alternative_peak_mib: float | None


@dataclass(frozen=True)
class Measured:
    """What a call took: seconds, MiB above the memory before it, and its result."""

    seconds: float
    peak_mib: float
    result: Any


def measure(call: Callable[[], Any], *, repeat: int = 1) -> Measured:
    """The fastest of `repeat` calls, while the process's memory is watched."""

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    before, peak, stop = resident(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.01):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, result = float("inf"), None
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        seconds = min(seconds, time.perf_counter() - start)
    stop.set()
    watcher.join()
    return Measured(seconds, max(0.0, peak - before), result)


def compare(
    case: str,
    alternative: str,
    ours: Measured,
    theirs: Measured,
    wanted: float | None = None,
    deviation: float | None = None,
) -> Row:
    """The row of a case."""
    ratio = theirs.seconds / ours.seconds
    return Row(
        case,
        alternative,
        ours.seconds,
        theirs.seconds,
        ratio,
        wanted,
        deviation,
        ours.peak_mib,
        theirs.peak_mib,
    )


def deviation(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest relative difference."""
    return float((np.abs(found - expected) / np.maximum(expected, 1e-12)).max())


def prepare_features(root: Path, folder: Path, configuration: Configuration) -> tuple[Job, Manifest]:
    """A store with the features of the first category under `root`."""
    job = prepare.fn(Request(Dataset.at(root), str(folder), configuration, run_id="bench"))
    ingest.fn(job)
    category = job.manifest().categories()[0]
    return job, job.manifest().of(category)


def matching_rows(label: str, job: Job, manifest: Manifest, wanted: dict[str, float]) -> list[Row]:
    """Concatenated and single-level matching of one test image at K = 50."""
    features = Features(job.open_store(), job.feature_key)
    strides = job.configuration.levels
    query = features.pyramid(manifest.test()[0].key, strides)
    gallery = [features.pyramid(entry.key, strides) for entry in manifest.train()[:K]]
    rows = []
    sample = np.random.default_rng(0).choice(query[0].shape[0] * query[0].shape[1], 64, replace=False)
    modes: tuple[Literal["nearest", "bilinear"], ...] = ("nearest", "bilinear")
    for upsampling in modes:
        match(query, gallery[:1], upsampling=upsampling)
        ours = measure(lambda up=upsampling: match(query, gallery, upsampling=up)[0], repeat=3)  # type: ignore[misc]
        theirs = measure(lambda up=upsampling: baselines.faiss_concatenated(query, gallery, up))  # type: ignore[misc]
        exact = baselines.exact_squared(query, gallery, upsampling, sample)
        off = deviation(ours.result.ravel()[sample], exact)
        case = f"concatenate, {upsampling}, K = {len(gallery)}, {label}"
        rows.append(compare(case, "faiss flat, concatenated", ours, theirs, wanted[upsampling], off))
    finest, levels = query[0], [pyramid[0] for pyramid in gallery]
    ours = measure(lambda: match([finest], [[level] for level in levels], fusion="average")[0], repeat=3)
    theirs = measure(lambda: baselines.faiss_level(finest, levels))
    exact = baselines.exact_squared([finest], [[level] for level in levels], "nearest", sample)
    off = deviation(ours.result.ravel()[sample], exact)
    case = f"average, finest level, {finest.shape[2]} channels"
    rows.append(compare(case, "faiss flat, one level", ours, theirs, wanted["average"], off))
    return rows


def broadcast_row(job: Job, manifest: Manifest) -> Row:
    """The difference of all pairs of one level, which for one image alone takes about a GiB."""
    features = Features(job.open_store(), job.feature_key)
    query, other = (
        features.pyramid(entry.key, (4,))[0] for entry in (manifest.test()[0], manifest.train()[0])
    )
    ours = measure(lambda: match([query], [[other]], fusion="average")[0], repeat=3)
    theirs = measure(lambda: baselines.broadcast_level(query, [other]))
    case = f"average, finest level, {query.shape[2]} channels, K = 1"
    return compare(case, "broadcast difference", ours, theirs)


def growth_rows(job: Job, manifest: Manifest) -> list[Row]:
    """One test image as K grows, and as the training set grows (images repeated, with noise)."""
    features = Features(job.open_store(), job.feature_key)
    strides, rows = job.configuration.levels, []
    query = features.pyramid(manifest.test()[0].key, strides)
    keys = [entry.key for entry in manifest.train()]
    for k in (1, 50, 200):
        if k <= len(keys):
            gallery: Sequence[Pyramid] = [features.pyramid(key, strides) for key in keys[:k]]
            ours = measure(lambda g=gallery: match(query, g), repeat=2)  # type: ignore[misc]
            rows.append(alone(f"match one image, bilinear, K = {k}", ours))
    embeddings = features.embeddings(keys)
    rng = np.random.default_rng(0)
    pyramids = score_step.Pyramids(strides, partial(features.pyramid, strides=strides))
    for size in (100, 1_000, 10_000):
        numbers = rng.integers(0, len(keys), size)
        drawn = embeddings[numbers]
        faiss_index = build_index(drawn + rng.normal(0, 0.01, drawn.shape).astype(np.float32))
        ours = measure(lambda i=faiss_index: nearest(i, embeddings[:1], K), repeat=5)  # type: ignore[misc]
        rows.append(alone(f"retrieve one image's {K} nearest of {size}", ours))
        squared, positions = ours.result
        train = [keys[number] for number in numbers]
        test = manifest.test()[0].key
        found = (squared[0], positions[0], train, pyramids, job.device)
        stage = partial(score_step.score_image, [job.configuration], test, *found)
        rows.append(alone(f"score one image, {size} training images", measure(stage, repeat=2)))
    return rows


def alone(case: str, ours: Measured) -> Row:
    """A row without an alternative."""
    return Row(case, "", ours.seconds, None, None, None, None, ours.peak_mib, None)


def metrics_rows() -> list[Row]:
    """Pixel metrics of 100 maps at 256, and of 117 maps at 1024 drawn one by one."""
    rng = np.random.default_rng(0)

    def pair(number: int, side: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        mask = np.zeros((side, side), dtype=bool)
        if number % 3:
            top, left = rng.integers(0, side // 2, 2)
            mask[top : top + side // 8, left : left + side // 6] = True
        return (rng.standard_normal((side, side), np.float32) + mask), mask

    pairs = [pair(number, 256) for number in range(100)]
    maps, masks = (np.stack(part) for part in zip(*pairs, strict=True))
    ours = measure(lambda: pixel_metrics(pairs), repeat=3)
    theirs = measure(lambda: baselines.scikit_metrics(maps, masks))
    off = max(abs(ours.result[name] - theirs.result[name]) for name in ("rocauc", "average_precision"))
    rows = [
        compare(
            "pixel metrics, 100 maps at 256x256", "scikit-learn, PRO by 200 thresholds", ours, theirs, 5, off
        )
    ]
    large = measure(lambda: profiled_pixel_metrics(pair(number, 1024) for number in range(117)))
    return [*rows, alone("pixel metrics and profile, 117 maps at 1024x1024", large)]


def extraction_rows(jobs: Sequence[Job], manifest: Manifest, folder: Path) -> list[Row]:
    """Decode, preprocess, forward and write of a category, against one step after the other."""
    entries = [*manifest.train(), *manifest.test()][:64]
    theirs = measure(
        lambda: baselines.extract_plainly(jobs[0].dataset, entries, Path(jobs[0].weights_file), folder)
    )
    count = len(manifest.train()) + len(manifest.test())
    scaled = Measured(theirs.seconds * count / len(entries), theirs.peak_mib, None)
    rows = []
    for job in jobs:
        ours = measure(lambda j=job: extract.fn(j, manifest.categories()[0]))  # type: ignore[misc]
        case = f"extract {count} images, wide_resnet50_2, {job.configuration.precision}"
        rows.append(compare(case, f"plain loop, from {len(entries)} images", ours, scaled, 2))
    return rows


def stage_row(job: Job, manifest: Manifest) -> Row:
    """The whole scoring stage, reading and writing included; faiss is timed on its first images."""
    category = manifest.categories()[0]
    index.fn(job, category, {})
    ours = measure(lambda: score_step.score.fn(job, category, {}))
    count, few = len(manifest.test()), 16

    def by_faiss(query: Pyramid, gallery: Any, *_: Any, **__: Any) -> list[list[NDArray[np.float32]]]:
        squared = baselines.faiss_concatenated(query, list(gallery), "nearest")
        return [[squared.reshape(*np.shape(query[0])[:2], 1)]]

    features = Features(job.open_store(), job.feature_key)
    train = [entry.key for entry in manifest.train()]
    faiss_index = build_index(features.embeddings(train))

    def theirs_stage() -> None:
        settings = job.configuration
        pyramids = score_step.cached_pyramids(features, settings.levels, train[0], job.memory_gib)
        for entry in manifest.test()[:few]:
            squared, positions = nearest(faiss_index, features.embeddings([entry.key]), K)
            score_step.score_image(
                [settings], entry.key, squared[0], positions[0], train, pyramids, job.device
            )

    with mock.patch.object(score_step, "match_each", by_faiss):
        theirs = measure(theirs_stage)
    scaled = Measured(theirs.seconds * count / few, theirs.peak_mib, None)
    return compare(
        f"score {count} images, nearest, K = {K}", f"faiss flat, from {few} images", ours, scaled, 5
    )


def main(target: Path) -> None:
    """Run every case, print the table, write it as JSON."""
    torch.manual_seed(0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = BOTTLE if BOTTLE.is_dir() else draw_dataset(Store.open(folder / "drawn", create=True))
        print(f"images: {root}", file=sys.stderr)
        lite = Configuration(backbone="tf_efficientnet_lite0", upsampling="nearest")
        job, manifest = prepare_features(root, folder / "lite0", lite)
        extract.fn(job, manifest.categories()[0])
        rows += matching_rows(
            "EfficientNet-Lite0", job, manifest, {"nearest": 10, "bilinear": 3, "average": 6}
        )
        rows += [broadcast_row(job, manifest), *growth_rows(job, manifest), stage_row(job, manifest)]
        rows += metrics_rows()
        weights = folder / "wide_resnet50_2.pth"
        torch.save(torchvision.models.wide_resnet50_2().state_dict(), weights)
        wide = Configuration(weights=str(weights))
        job, manifest = prepare_features(root, folder / "wide", wide)
        jobs = [job]
        if has_bfloat16():  # elsewhere it is emulated, a hundred times slower
            quick, _ = prepare_features(root, folder / "quick", replace(wide, precision="bfloat16"))
            jobs.insert(0, quick)
        rows += extraction_rows(jobs, manifest, folder)
        wanted = {"nearest": 25.0, "bilinear": 8.0, "average": 1.1}
        rows += matching_rows("wide_resnet50_2, random weights", job, manifest, wanted)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    table = Table("case", "seconds", "against", "seconds", "ratio", "wanted", "deviation", "MiB", "MiB")
    for row in rows:
        cells = (row.seconds, row.alternative, row.alternative_seconds, row.ratio, row.wanted, row.deviation)
        table.add_row(row.case, *map(_text, (*cells, row.peak_mib, row.alternative_peak_mib)))
    Console(width=170).print(table)
    print(f"written to {target}")


def _text(value: float | str | None) -> str:
    return value if isinstance(value, str) else "" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main(Path("build/bench.json"))
