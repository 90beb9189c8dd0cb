"""Whether the normal images to test are still like those to train with: the table of drift."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.looks import Look, Looks
from storage.datasets.dataset import read_image
from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile
from tasks.core.metrics.drift import energy_test, look, mean_nearest_distance
from tasks.core.metrics.intervals import holm
from tasks.job import Part, Stage
from tasks.progress import LOGGER
from tasks.step import step

MEASURES = ("embedding", "distance", "brightness", "contrast", "size")
LEVEL = 0.01  # of a night: how often it may be called drifted where nothing changed
SMALLEST = 0.05  # change of a mean, as a share of it: the test sees less, where there are many images
FEWEST = 6  # images of a side
_MOST = 400  # images of a side: the first by SHA-256, which is as good as drawn
_NEAREST = 5  # training images that a distance is the mean of

Row = dict[str, Any]
Rows = NDArray[np.floating]


@step
def measure_drift(part: Part) -> tuple[list[Row], Stage]:
    """A row a measure: normal test images against training images, not yet corrected for their number.

    Distances are to the nearest of one half of the training images, of the other half and of test images:
    so all that are compared are exchangeable where nothing changed, as the test asks.
    """
    start = time.perf_counter()
    looks = Looks(part.store)
    train = _first(part.manifest.train())
    test = _first([image for image in part.test_images if not image.anomalous])
    read = _read_missing(part, looks, [*train, *test])
    unknown = set(looks.missing([image.key for image in (*train, *test)]))
    train, test = ([image for image in side if image.key not in unknown] for side in (train, test))
    reason = None
    if min(len(train), len(test)) < FEWEST:
        reason = f"{len(train)} training and {len(test)} normal test images: {FEWEST} of each are needed"
    samples = [] if reason else list(_samples(part, looks, train, test))
    about = {"dataset": part.job.dataset.name, "category": part.category}
    counts = {"train": len(train), "test": len(test)}
    rows = []
    for measure in MEASURES:
        row: Row = {"measure": measure, "reason": reason}
        if samples:
            first, second = (sample[measure] for sample in samples)
            if first.shape[1] == 1:
                row |= {"train_mean": float(first.mean()), "test_mean": float(second.mean())}
            row |= energy_test(first, second)._asdict()
        rows.append(about | counts | row)
    images = len(train) + len(test)
    return rows, Stage("drift", part.category, time.perf_counter() - start, read, images)


def drift_verdicts(rows: Sequence[Row]) -> list[Row]:
    """The rows of all categories of a run, with the p-values corrected over all of them, and verdicts."""
    told = [row for row in rows if row.get("p_value") is not None]
    adjusted = iter(holm([row["p_value"] for row in told]))
    found = []
    for row in rows:
        if row.get("p_value") is None:
            found.append(row | {"verdict": "not comparable"})
            continue
        value = next(adjusted)
        drifted = value <= LEVEL and _matters(row)
        found.append(row | {"p_adjusted": value, "verdict": "drifted" if drifted else "same"})
    return found


def _matters(row: Row) -> bool:
    """Whether the means, of a measure that has any, differ by enough to be worth a warning."""
    before, now = row.get("train_mean"), row.get("test_mean")
    return before is None or now is None or abs(now - before) >= SMALLEST * abs(before)


def _first(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Images of different contents, by SHA-256, at most so many."""
    by_key = {image.key: image for image in images}
    return [by_key[key] for key in sorted(by_key)[:_MOST]]


def _samples(
    part: Part, looks: Looks, train: Sequence[ImageFile], test: Sequence[ImageFile]
) -> Iterator[dict[str, Rows]]:
    """What is measured of the training and of the test images, (N, D) by measure."""
    embeddings = [part.features.embeddings([image.key for image in images]) for images in (train, test)]
    reference, held_out = embeddings[0][::2], embeddings[0][1::2]
    for images, rows, compared in zip((train, test), embeddings, (held_out, embeddings[1]), strict=True):
        seen = np.array([looks.read(image.key) for image in images])
        yield {
            "embedding": rows,
            "distance": mean_nearest_distance(compared, reference, _NEAREST)[:, None],
            "brightness": seen[:, :1],
            "contrast": seen[:, 1:],
            "size": np.array([(image.width, image.height) for image in images], dtype=np.float64),
        }


def _read_missing(part: Part, looks: Looks, images: Sequence[ImageFile]) -> int:
    """Look at the images of which it is not known how they look; their number."""
    by_key = {image.key: image for image in images}
    new: dict[str, Look] = {}
    for key in looks.missing(list(by_key)):
        try:
            new[key] = look(read_image(part.job.dataset, by_key[key]))
        except UnreadableImageError as error:
            LOGGER.warning("%s has no part in brightness and contrast: %s", by_key[key].image_id, error)
    if new:
        looks.append(new)
    return len(new)
