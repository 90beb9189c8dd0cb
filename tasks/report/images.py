"""The pictures of a category's test images and of their training neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.datasets.images import encode_jpeg
from storage.datasets.manifest import ImageFile
from storage.results.report_folder import ReportFolder
from tasks.core.networks.preprocess import align_mask
from tasks.core.pictures.overlays import cut_out, enlarged, evaluated_area, heat, marked
from tasks.report.source import Source

TILE = 320  # pixels a side
_SAMPLE = 7  # every how many pixels of a map its category's colour scale is taken from


@dataclass(frozen=True)
class Look:
    """How the maps of a category are shown: ends of the colour scale, pixel threshold, colours (256, 3)."""

    scale: tuple[float, float]
    threshold: float | None
    colours: NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """Files of one test image below its category's folder, by kind; `notes` say what is missing, and why.

    `predicted` is the share of pixels that are predicted anomalous; `truth` the mask (R, R) that the metrics
    use, None for an image without a usable one.
    """

    entry: ImageFile
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    predicted: float | None = None
    truth: NDArray[np.bool_] | None = None


def colour_scale(
    source: Source, scores: Scores, entries: Sequence[ImageFile], pool: Executor
) -> tuple[float, float]:
    """Ends of the colour scale: the median of all pixels of the maps, and the value that 0.1 % exceed.

    0 and 1 where no map can be read.
    """

    def sample(entry: ImageFile) -> NDArray[np.float32]:
        values = source.anomaly_map(scores, entry)
        return np.zeros(0, np.float32) if isinstance(values, str) else values.ravel()[::_SAMPLE]

    parts = list(pool.map(sample, entries)) if source.method.has_map else []
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.5, 0.999])
    return float(low), float(high)


def write_pictures(
    source: Source, scores: Scores, entry: ImageFile, look: Look, folder: ReportFolder, prefix: str, name: str
) -> Pictures:
    """Write the tiles of a test image as PREFIX/tiles/NAME-*.jpg; what cannot be shown is noted."""
    notes: list[str] = []
    files: dict[str, str] = {}

    def write(kind: str, tile: NDArray[np.uint8]) -> None:
        files[kind] = f"tiles/{name}-{kind}.jpg"
        folder.write(f"{prefix}/{files[kind]}", encode_jpeg(tile))

    image = source.image(entry)
    values = source.anomaly_map(scores, entry) if source.method.has_map else None
    truth, outlined = _truths(source, entry, notes) if source.method.has_map else (None, None)
    notes += [reason for reason in (image, values) if isinstance(reason, str)]
    predicted = None
    if isinstance(values, np.ndarray) and look.threshold is not None:
        predicted = float((values >= look.threshold).mean())
    if not isinstance(image, str):
        tile = evaluated_area(image, source.preprocessing, TILE)
        write("image", tile)
        if isinstance(values, np.ndarray):
            large = enlarged(values, TILE)
            write("map", heat(tile, large, look.scale, look.colours))
            if look.threshold is not None:
                write("mask", marked(tile, large >= look.threshold, outlined))
                if predicted:
                    write("cut", cut_out(tile, large >= look.threshold))
    return Pictures(entry, files, notes, predicted, truth)


def write_training(
    source: Source, entries: Sequence[ImageFile], folder: ReportFolder, prefix: str, pool: Executor
) -> dict[str, str]:
    """Write each training image as PREFIX/train/NUMBER.jpg; files by image_id, "" where it is gone."""

    def write(numbered: tuple[int, ImageFile]) -> str:
        number, entry = numbered
        image = source.image(entry)
        if isinstance(image, str):
            return ""
        name = f"train/{number:04}.jpg"
        folder.write(f"{prefix}/{name}", encode_jpeg(evaluated_area(image, source.preprocessing, TILE)))
        return name

    names = pool.map(write, enumerate(entries, start=1))
    return {entry.image_id: name for entry, name in zip(entries, names, strict=True)}


def _truths(
    source: Source, entry: ImageFile, notes: list[str]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]:
    """The true mask as the metrics use it and as the tile shows it; None where there is none to trust."""
    resolution = source.run["metric_resolution"]
    if entry.anomalous is None:
        return None, None
    if entry.mask_reason is not None:
        notes.append(f"not in the pixel metrics: {entry.mask_reason}")
        return None, None
    if not entry.masks:
        return np.zeros((resolution, resolution), dtype=bool), None
    mask = source.mask(entry)
    if isinstance(mask, str):
        notes.append(f"the true mask cannot be shown: {mask}")
        return None, None
    how = source.preprocessing
    aligned = align_mask(mask, how, resolution)
    if not aligned.any():
        notes.append("the true mask lies outside the evaluated area")
    return aligned, align_mask(mask, how, TILE)
