"""Times, deviations and memory of SPADE against named alternatives, in one run: `make bench`.

    python tests/benchmarks/bench.py [FOLDER]

FOLDER holds a category as MVTec AD does; without it, *bottle* where that is at hand, else drawn images.
A peer is timed where ANOMALIB_PYTHON is an interpreter that has anomalib.
"""

from __future__ import annotations

import json
import os
import subprocess
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

from storage.datasets.dataset import Dataset
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.matching.matching import Pyramid, match
from tasks.core.matching.retrieval import build_index
from tasks.core.memory import reuse
from tasks.core.methods.interface import Method, Query, Training
from tasks.core.methods.patchcore import PatchCore
from tasks.core.methods.spade import Spade
from tasks.core.metrics.ranking import measure_pixels, pixel_metrics
from tasks.demo import draw_dataset
from tasks.job import Part, Request
from tasks.methods.by_name import score, scoring_of
from tasks.methods.fitted import training_images
from tasks.methods.index import index
from tasks.network import network_of
from tasks.run.crops import CROPS
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.prepare import has_bfloat16, prepare

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


def prepare_part(root: Path, folder: Path, configuration: Configuration, method: Method) -> Part:
    """The first category under `root`, in a store without its features."""
    request = Request(Dataset.at(root), str(folder), configuration, (method,), run_id="bench")
    job = prepare.fn(request)
    ingest.fn(job)
    return job.part(job.manifest().categories()[0])


def matching_rows(label: str, part: Part, wanted: dict[str, float]) -> list[Row]:
    """Concatenated and single-level matching of one test image at K = 50."""
    strides = part.job.configuration.levels
    query = part.features.pyramid(part.scored[0], strides)
    gallery = [part.features.pyramid(key, strides) for key in part.train[:K]]
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


def broadcast_row(part: Part) -> Row:
    """The difference of all pairs of one level, which for one image alone takes about a GiB."""
    query, other = (part.features.pyramid(key, (4,))[0] for key in (part.scored[0], part.train[0]))
    ours = measure(lambda: match([query], [[other]], fusion="average")[0], repeat=3)
    theirs = measure(lambda: baselines.broadcast_level(query, [other]))
    case = f"average, finest level, {query.shape[2]} channels, K = 1"
    return compare(case, "broadcast difference", ours, theirs)


def growth_rows(part: Part) -> list[Row]:
    """One test image as K grows, and as the training set grows (images repeated, with noise)."""
    features, strides, keys, rows = part.features, part.job.configuration.levels, part.train, []
    pyramid = features.pyramid(part.scored[0], strides)
    for k in (1, 50, 200):
        if k <= len(keys):
            gallery: Sequence[Pyramid] = [features.pyramid(key, strides) for key in keys[:k]]
            ours = measure(lambda g=gallery: match(pyramid, g), repeat=2)  # type: ignore[misc]
            rows.append(alone(f"match one image, bilinear, K = {k}", ours))
    embeddings, read = features.embeddings(keys), part.pyramids(strides)
    query = Query(features.embeddings(part.scored[:1])[0], pyramid, part.scored[0])
    rng, spade = np.random.default_rng(0), Spade(levels=strides)
    for size in (100, 1_000, 10_000):
        numbers = rng.integers(0, len(keys), size)
        drawn = embeddings[numbers]
        drawn = drawn + rng.normal(0, 0.01, drawn.shape).astype(np.float32)
        training = Training(
            drawn,
            lambda position, numbers=numbers: read(keys[numbers[position]]),  # type: ignore[misc]
            strides,
            index=build_index(drawn),
        )
        retrieve = partial(training.nearest, query, K)
        rows.append(alone(f"retrieve one image's {K} nearest of {size}", measure(retrieve, repeat=5)))
        score = partial(spade.scorer({}, training), query)
        rows.append(alone(f"score one image, {size} training images", measure(score, repeat=2)))
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
    large = measure(lambda: measure_pixels(pair(number, 1024) for number in range(117)))
    return [*rows, alone("pixel metrics and profile, 117 maps at 1024x1024", large)]


def extraction_rows(root: Path, folder: Path, settings: Sequence[Configuration]) -> list[Row]:
    """A category from files to store: against a plain loop, and against passes alone.

    What `ingest` has just decoded is not decoded again; the other rows are without that.
    """
    part = prepare_part(root, folder / "plainly", settings[0], Spade())
    weights, few = Path(part.job.weights_file), part.manifest.used()[:64]
    count = len(part.manifest.used())
    plainly = measure(lambda: baselines.extract_plainly(part.job.dataset, few, weights, folder))
    rows = []
    for number, each in enumerate(settings):
        network, batch = network_of(each, weights), torch.randn(16, 3, 224, 224)
        network(batch)
        passes = measure(partial(list, map(network, [batch] * (len(few) // 16))))
        theirs, bare = (
            replace(measured, seconds=measured.seconds * count / len(few)) for measured in (plainly, passes)
        )
        case = f"extract {count} images, wide_resnet50_2, {each.precision}"
        part = prepare_part(root, folder / f"decoded-{number}", each, Spade())
        ours = measure(partial(extract.fn, part))
        against = f"its forward passes alone, from {len(few)} images"
        rows.append(compare(f"{case}, decoded by ingest", against, ours, bare, 1 / 1.15))
        part = prepare_part(root, folder / f"from-files-{number}", each, Spade())
        CROPS.clear()
        ours = measure(partial(extract.fn, part))
        rows.append(compare(case, f"plain loop, from {len(few)} images", ours, theirs, 2))
        rows.append(compare(case, against, ours, bare, 1 / 1.15))
    return rows


def stage_row(part: Part, method: Spade, label: str, wanted: float | None, few: int) -> Row:
    """The whole scoring stage, reading and writing included; faiss is timed on its first images."""
    index.fn(part)
    ours = measure(lambda: score.fn([scoring_of(part, method)]))
    count = len(part.scored)

    def by_faiss(query: Pyramid, gallery: Any, *_: Any, **__: Any) -> list[list[NDArray[np.float32]]]:
        squared = baselines.faiss_concatenated(query, list(gallery), method.upsampling)
        return [[squared.reshape(*np.shape(query[0])[:2], 1)]]

    strides = part.job.configuration.levels
    training = training_images(part, strides)
    scorer = method.settled(part.job.configuration.grids).scorer({}, training)

    def theirs_stage() -> None:
        for key in part.scored[:few]:
            scorer(Query(part.features.embeddings([key])[0], part.features.pyramid(key, strides), key))

    with mock.patch("tasks.core.methods.retrieve_and_match.match_each", by_faiss):
        theirs = measure(theirs_stage)
    scaled = Measured(theirs.seconds * count / few, theirs.peak_mib, None)
    case = f"score {count} images, {method.upsampling}, K = {K}, {label}"
    return compare(case, f"faiss flat, from {few} images", ours, scaled, wanted)


def peer_row(root: Path, folder: Path, wide: Configuration) -> Row:
    """PatchCore with a coreset of 1 %, from images to scores and maps, against anomalib where that is."""
    method, case = PatchCore(share=0.01), "PatchCore from images to scores, wide_resnet50_2, 1 %"

    def whole() -> Part:
        part = prepare_part(root, folder / "peer", wide, method)
        extract.fn(part)
        score.fn([scoring_of(part, method)])
        return part

    ours = measure(whole)
    interpreter = os.environ.get("ANOMALIB_PYTHON")
    if not interpreter:
        return replace(alone(case, ours), alternative="anomalib: not timed, ANOMALIB_PYTHON is not set")
    script, category = Path(__file__).with_name("peer.py"), ours.result.category
    command = [interpreter, script, root, category, str(method.share)]
    with (folder / "peer.log").open("wb") as log:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    seconds = found["fit"] + found["test"]
    named = f"anomalib {found['version']}: {found['fit']:.0f} s fit, {found['test']:.0f} s test"
    return Row(case, named, ours.seconds, seconds, seconds / ours.seconds, None, None, ours.peak_mib, None)


def main(target: Path, images: Path = BOTTLE) -> None:
    """Run every case, on drawn images where there are no others; print the table, write it as JSON."""
    reuse()  # as the command does
    torch.manual_seed(0)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = images if images.is_dir() else Path(draw_dataset(Store.open(folder / "drawn", create=True)))
        print(f"images: {root}", file=sys.stderr)
        nearest, bilinear = Spade(upsampling="nearest"), Spade()
        lite = Configuration(backbone="tf_efficientnet_lite0")
        part = prepare_part(root, folder / "lite0", lite, bilinear)
        extract.fn(part)
        rows += matching_rows("EfficientNet-Lite0", part, {"nearest": 10, "bilinear": 10, "average": 6})
        rows += [broadcast_row(part), *growth_rows(part)]
        rows += [stage_row(part, nearest, "EfficientNet-Lite0", 5, few=16)]
        rows += [stage_row(part, bilinear, "EfficientNet-Lite0", 10, few=16)]
        rows += metrics_rows()
        weights = folder / "wide_resnet50_2.pth"
        torch.save(torchvision.models.wide_resnet50_2().state_dict(), weights)
        wide = Configuration(weights=str(weights))
        # bfloat16 is emulated where a processor has none, a hundred times slower.
        quick = [replace(wide, precision="bfloat16")] if has_bfloat16() else []
        rows += extraction_rows(root, folder, [wide, *quick])
        part = prepare_part(root, folder / "wide", wide, bilinear)
        extract.fn(part)
        wanted = {"nearest": 25.0, "bilinear": 60.0, "average": 1.1}
        rows += matching_rows("wide_resnet50_2, random weights", part, wanted)
        rows += [stage_row(part, bilinear, "wide_resnet50_2, random weights", 60, few=4)]
        rows += [peer_row(root, folder, wide)]
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
    main(Path("build/bench.json"), *map(Path, sys.argv[1:2]))
