"""What a run would still have to do, and about how long this machine takes: said before the run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from storage.computed.features import Features
from storage.datasets.manifest import Manifest, last_manifest
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.store import Store
from tasks.core.matching.kept import KeptPyramid
from tasks.core.matching.matching import Frames, match_each
from tasks.core.methods.spade import Spade
from tasks.core.networks.geometry import Size
from tasks.core.networks.tiles import tile_count
from tasks.core.networks.traits import Level
from tasks.job import Job, Part, Request
from tasks.methods.by_name import scoring_of
from tasks.methods.scoring import Scoring
from tasks.network import network_of
from tasks.progress import report, report_files
from tasks.run.prepare import settle
from tasks.run.tables import first_spade

_IMAGES = 16  # that the calibration passes through the backbone
_GALLERY = 8  # of these, that it matches one other with
_CELLS = 16  # a side of a random picture
_VARIATION, _NOISE = 0.3, 0.1  # of its cells and pixels from image to image


@dataclass(frozen=True)
class Work:
    """What the store does not have of one category.

    Attributes:
        category: its name.
        images: usable images of all splits.
        extract: distinct images without features, not counting those of a category before.
        score: distinct test images without scores by SPADE.
        pairs: images of galleries that they are matched with.
        other: scores that are missing by the other methods.
        maps: anomaly maps that come with these scores.
        reason: why the category cannot be evaluated, or None.
    """

    category: str
    images: int
    extract: int = 0
    score: int = 0
    pairs: int = 0
    other: int = 0
    maps: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Costs:
    """What one image costs.

    Attributes:
        feature_bytes: its embedding and pyramid, before compression.
        map_bytes: its anomaly map, before compression.
        forward_macs: multiply-adds of its forward pass.
        match_macs: multiply-adds of comparing all its patches with all of one gallery image.
        forward_seconds: measured, in a batch.
        match_seconds: measured, for one gallery image.
    """

    feature_bytes: int = 0
    map_bytes: int = 0
    forward_macs: int = 0
    match_macs: int = 0
    forward_seconds: float = 0.0
    match_seconds: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """What a run does for one category: counts as in `Work`, GiB at most, 10⁹ multiply-adds, minutes.

    The minutes are those of extraction and of matching.
    """

    category: str
    images: int
    extract: int
    score: int
    other: int
    feature_gib: float
    map_gib: float
    forward_gmac: float
    match_gmac: float
    minutes: float
    reason: str | None = None


@dataclass(frozen=True)
class Plan:
    """The estimates of a dataset's categories, and the device they are for."""

    categories: tuple[Estimate, ...]
    device: str

    @property
    def total(self) -> Estimate:
        """The sums over the categories."""
        numbers = [field.name for field in fields(Estimate) if field.name not in ("category", "reason")]
        sums = {name: sum(getattr(estimate, name) for estimate in self.categories) for name in numbers}
        return Estimate("total", **sums)


def plan(request: Request) -> Plan:
    """Compare a dataset with a store, which need not exist, and calibrate if anything is missing there.

    Neither dataset nor store is written; published weights are downloaded if absent, as for a run.

    Raises:
        ConfigurationError, DatasetError, StoreError: what would stop a run at once.
    """
    job = settle(request)
    found = Store.foresee(job.store)
    known = last_manifest(found, job.dataset.name)
    manifest = read_manifest(job.dataset, job.categories, known=known, progress=report_files)
    works = remaining(job, found, manifest)
    costs = calibrate(job) if any(work.extract or work.score for work in works) else Costs()
    return Plan(tuple(estimate(work, costs) for work in works), job.device)


def remaining(job: Job, store: Store, manifest: Manifest) -> list[Work]:
    """The work left in each category, found by the keys that a run uses."""
    features = Features(store, job.feature_key)
    planned: set[str] = set()
    works = []
    for category in manifest.categories():
        part = Part(job, category, manifest.of(category), store, features)
        test = part.scored
        images = part.manifest.used()
        try:
            part.manifest.check()
        except DatasetError as error:
            works.append(Work(category, len(images), reason=str(error)))
            continue
        extract = set(features.missing([image.key for image in images])) - planned
        planned |= extract
        counts = Counter[str]()
        for scoring in _scorings(part):
            missing = len(scoring.scores.missing(test))
            method = scoring.settled
            counts["score" if isinstance(method, Spade) else "other"] += missing
            counts["pairs"] += missing * method.k_gallery if isinstance(method, Spade) else 0
            counts["maps"] += missing * method.has_map
        works.append(
            Work(
                category,
                len(images),
                len(extract),
                counts["score"],
                counts["pairs"],
                counts["other"],
                counts["maps"],
            )
        )
    return works


def _scorings(part: Part) -> Iterator[Scoring]:
    """Each method that is asked for, and those of ensembles, once."""
    methods = part.job.methods
    for method in dict.fromkeys([*methods, *chain.from_iterable(method.members for method in methods)]):
        yield scoring_of(part, method)


def estimate(work: Work, costs: Costs) -> Estimate:
    """The work of a category at these costs."""
    seconds = work.extract * costs.forward_seconds + work.pairs * costs.match_seconds
    return Estimate(
        category=work.category,
        images=work.images,
        extract=work.extract,
        score=work.score,
        other=work.other,
        feature_gib=work.extract * costs.feature_bytes / 2**30,
        map_gib=work.maps * costs.map_bytes / 2**30,
        forward_gmac=work.extract * costs.forward_macs / 1e9,
        match_gmac=work.pairs * costs.match_macs / 1e9,
        minutes=seconds / 60,
        reason=work.reason,
    )


def calibrate(job: Job) -> Costs:
    """Costs on this machine, from random images: a forward pass, and a query against a few of them.

    Both are timed the second time, when memory is allocated and kernels are compiled.
    """
    settings = job.configuration
    report("calibrate", None, 0, 2)
    backbone = network_of(settings, Path(job.weights_file), job.device)
    whole = settings.preprocessing.frame(1, 1).size
    images = _random_images(settings.network_input or whole)
    tiles = tile_count(whole, settings.grids, settings.tile, settings.overlap)
    with _counting(backbone) as macs:
        embeddings, levels = backbone(images)
    batch = images[: job.batch_size]
    start = time.perf_counter()
    backbone(batch)
    forward_seconds = (time.perf_counter() - start) / len(batch) * tiles
    report("calibrate", None, 1, 2)
    match_macs, match_seconds = _matching_costs(job, levels)
    report("calibrate", None, 2, 2)
    cells = {level: grid.rows * grid.columns for level, grid in settings.grids.items()}
    values = embeddings.shape[1] + sum(cells[level] * found.shape[3] for level, found in levels.items())
    larger = cells[settings.levels[0]] / levels[settings.levels[0]][0, :, :, 0].numel()  # than one tile
    return Costs(
        feature_bytes=values * np.dtype(settings.dtype).itemsize,
        map_bytes=settings.metric_resolution**2 * np.dtype(np.float32).itemsize,
        forward_macs=sum(macs) * tiles,
        match_macs=round(match_macs * larger**2),
        forward_seconds=forward_seconds,
        match_seconds=match_seconds * larger**2,
    )


def _matching_costs(job: Job, levels: Mapping[Level, Tensor]) -> tuple[int, float]:
    """Multiply-adds and seconds of matching an image with another by the run's SPADE; zeros without it."""
    spade = first_spade(job.methods)
    if spade is None:
        return 0, 0.0
    spade = spade.settled(job.configuration.grids)
    query, *gallery = (
        KeptPyramid([levels[level][image].numpy() for level in spade.levels]) for image in range(1 + _GALLERY)
    )
    matching = spade.matching(spade.levels)
    frames: Frames = {}
    match_each(query, gallery, [matching], device=job.device, frames=frames)
    start = time.perf_counter()
    match_each(query, gallery, [matching], device=job.device, frames=frames)
    seconds = (time.perf_counter() - start) / len(gallery)
    return products([np.shape(level) for level in query], spade.fusion), seconds


def products(shapes: Sequence[Sequence[int]], fusion: str) -> int:
    """Multiply-adds of all products of one image's patches with another's, levels (Hi, Wi, Ci)."""
    patches = [height * width for height, width, _ in shapes]
    channels = [shape[2] for shape in shapes]
    if fusion == "concatenate":
        return patches[0] ** 2 * sum(channels)
    return sum(count**2 * depth for count, depth in zip(patches, channels, strict=True))


def _random_images(size: Size) -> Tensor:
    """Variations (B, 3, H, W) of one smooth random picture, of this height and width.

    Matching takes about as long with them as with photos of one product. White noise takes several times
    longer: its patches are all about as far from each other, so that no bound prunes any.
    """
    generator = torch.Generator().manual_seed(0)
    picture, varied, noise = (
        torch.randn(*shape, generator=generator)
        for shape in (
            (1, 3, _CELLS, _CELLS),
            (_IMAGES, 3, _CELLS, _CELLS),
            (_IMAGES, 3, *size),
        )
    )
    smooth = interpolate(picture + _VARIATION * varied, size=size, mode="bilinear")
    return smooth + _NOISE * noise


@contextmanager
def _counting(network: nn.Module) -> Iterator[list[int]]:
    """The multiply-adds an image needs in each convolution and linear layer, as the network runs."""
    macs: list[int] = []

    def count(layer: nn.Conv2d | nn.Linear, _: tuple[Tensor, ...], output: Tensor) -> None:
        macs.append(output[0].numel() * layer.weight[0].numel())

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield macs
    finally:
        for hook in hooks:
            hook.remove()
