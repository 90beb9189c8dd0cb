"""What the benchmark of MVTec AD 2 takes: anomaly maps and masks of its private images, checked."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from storage.datasets.dataset import Dataset
from storage.datasets.images import encode_png
from storage.datasets.layouts.mvtec_ad_2 import MvtecAd2
from storage.datasets.manifest import ImageFile
from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.store import DEFAULT_STORE
from tasks.core.errors import ConfigurationError
from tasks.core.pictures.restore import restore
from tasks.methods.thresholds import threshold
from tasks.new_images.finished import Finished
from tasks.progress import report
from tasks.run.tables import configuration_of

FORMAT = MvtecAd2.kind
MAPS, MASKS = "anomaly_images", "anomaly_images_thresholded"
_BITS, _FORMAT, _FLOAT = 258, 339, 3  # tags BitsPerSample and SampleFormat of TIFF, and IEEE of the latter
_HIGHEST = 10  # the highest value of a category is below 2 to the power of this


@dataclass(frozen=True)
class Submission:
    """What was written: how many images, the threshold of each category, and what is to be known of it."""

    folder: Path
    images: int
    thresholds: dict[str, float]
    note: str | None = None

    def lines(self) -> list[str]:
        """It in words."""
        lines = [f"{self.images} images, checked: {self.folder / MAPS}, {self.folder / MASKS}"]
        lines += [f"threshold of {name}: {value:.6g}" for name, value in self.thresholds.items()]
        return lines + ([f"note: {self.note}"] if self.note else [])


def export_submission(
    store: str = DEFAULT_STORE,
    run: str = "latest",
    folder: str | Path = "maps",
    *,
    category: str | None = None,
    method: str | None = None,
    fpr: float = 0.01,
) -> Submission:
    """Write FOLDER/anomaly_images/CATEGORY/SPLIT/NAME.tiff, and NAME.png in anomaly_images_thresholded.

    They are of the images without a label, at their size: the map (H, W) in float16, and 255 where it is
    above the threshold, else 0. That is the one at which a share `fpr` of normal images has a pixel above it
    (`tasks.methods.thresholds.py`). The maps of a category are multiplied by one power of 2, so that
    float16 holds them. Then every file is checked.

    Raises:
        ConfigurationError: the run's dataset is no MVTec AD 2, or its normal images are too few for the rate.
        StoreError: no such category or method, an image has no map, or a file is not as it must be.
    """
    results = Results(store)
    record = results.rows("run", run)[0]
    run, layout = record["run"], Dataset.of_run(record).layout
    if not isinstance(layout, MvtecAd2):
        raise ConfigurationError(
            f"format is {FORMAT!r}: run {run} is of a dataset in the layout {layout.kind}, which has no such "
            "benchmark: use tiff or png"
        )
    chosen = results.map_method(run, method)
    how, thresholds = configuration_of(record).preprocessing, dict[str, float]()
    wanted = [row["category"] for row in results.rows("categories", run, chosen)]
    if category is not None and category not in wanted:
        raise StoreError(f"run {run} has no category {category!r}: it has {', '.join(wanted)}")
    expected: list[ImageFile] = []
    for name in wanted if category is None else [category]:
        finished = Finished.of(store, run, name, chosen)
        images = finished.part.manifest.unlabelled()
        limit = threshold(finished.scoring, "pixel", fpr)
        if limit.value is None:
            raise ConfigurationError(str(limit.reason))
        thresholds[name] = limit.value
        ids = [image.image_id for image in images]
        highest = max(float(values.max()) for values in results.anomaly_maps(run, ids, chosen))
        scale = 2.0 ** (_HIGHEST - math.frexp(highest)[1])
        maps = results.anomaly_maps(run, ids, chosen)
        for done, (image, values) in enumerate(zip(images, maps, strict=True), start=1):
            heat = restore(values, how, image.height or 0, image.width or 0)
            heat[np.isnan(heat)] = values.min()
            for path, content in (
                (_place(folder, image, MAPS), _tiff((heat * scale).astype(np.float16))),
                (_place(folder, image, MASKS), encode_png((heat > limit.value).astype(np.uint8) * 255)),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            report("export", name, done, len(images))
        expected += images
    check_submission(folder, expected)
    note = None
    frames = (how.frame(image.height or 1, image.width or 1) for image in expected)
    if any(max(frame.start) > 0 for frame in frames):
        note = "the run saw the centre of each image alone: evaluate with --protocol full to see all of it"
    return Submission(Path(folder), len(expected), thresholds, note)


def check_submission(folder: str | Path, images: Sequence[ImageFile]) -> None:
    """Check that the files of these images are there, of the right types and sizes, and no others.

    Raises:
        StoreError: the first that is not so.
    """
    names = {_place(folder, image, kind): image for image in images for kind in (MAPS, MASKS)}
    for kind in (MAPS, MASKS):
        for path in (Path(folder) / kind).rglob("*"):
            if path.is_file() and path not in names:
                raise StoreError(f"{path} is of no image without a label: remove it, or name an empty folder")
    for path, image in names.items():
        try:
            content = path.read_bytes()
            found = _kind_of_tiff(content) if path.suffix == ".tiff" else _kind_of_png(content)
        except (OSError, SyntaxError, KeyError) as error:
            raise StoreError(f"{path} cannot be read ({error}): export again") from error
        what = "float16" if path.suffix == ".tiff" else "0 and 255"
        if found != (what, image.width, image.height):
            raise StoreError(f"{path} holds {found}, not {(what, image.width, image.height)}: export again")


def _place(folder: str | Path, image: ImageFile, kind: str) -> Path:
    return (
        Path(folder) / kind / PurePosixPath(image.image_id).with_suffix(".tiff" if kind == MAPS else ".png")
    )


def _tiff(values: NDArray[np.float16]) -> bytes:
    """A TIFF of one float16 a pixel; Pillow writes its 16 bits, and the tag says what they are."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[_FORMAT] = _FLOAT
    sink = io.BytesIO()
    Image.fromarray(values.view(np.uint16)).save(sink, format="TIFF", tiffinfo=tags)
    return sink.getvalue()


def _kind_of_tiff(content: bytes) -> tuple[str, int, int]:
    tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
    file = io.BytesIO(content)
    file.seek(tags.next)
    tags.load(file)
    kind = "float16" if (tags[_BITS], tags[_FORMAT]) == ((16,), (_FLOAT,)) else "other numbers"
    return kind, tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]


def _kind_of_png(content: bytes) -> tuple[str, int, int]:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        values = set(np.unique(np.asarray(picture)).tolist())
        binary = picture.mode == "L" and values <= {0, 255}
        return "0 and 255" if binary else "other values", *picture.size
