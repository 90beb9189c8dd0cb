from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny import write_category

from storage.computed.looks import Looks
from storage.datasets import dataset as reading
from storage.datasets import scan
from storage.datasets.dataset import Dataset
from storage.datasets.images import decode_image
from tasks.core.config import Configuration
from tasks.job import Job, Request
from tasks.run import crops as module
from tasks.run.crops import CROPS, Crops
from tasks.run.drift import measure_drift
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare


@pytest.fixture
def job(tmp_path: Path, settings: Callable[..., Configuration]) -> Job:
    """On 15 images of different contents, of which one is no image."""
    write_category(tmp_path / "data", "nut", train=6)
    (tmp_path / "data/nut/train/good/broken.png").write_bytes(b"no image")
    return prepare.fn(Request(Dataset.at(tmp_path / "data"), str(tmp_path / "store"), settings()))


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often each content is decoded as an image."""
    counts = Counter[bytes]()

    def counted(content: bytes) -> tuple[NDArray[np.uint8], str]:
        counts[content] += 1
        return decode_image(content)

    monkeypatch.setattr(scan, "decode_image", counted)
    monkeypatch.setattr(reading, "decode_image", counted)
    return counts


def first_night(job: Job) -> None:
    ingest.fn(job)
    _, part = extract.fn(job.part("nut"))
    measure_drift.fn(part)


def test_a_new_image_is_decoded_once_in_its_first_night_and_never_again(
    job: Job, decodes: Counter[bytes]
) -> None:
    first_night(job)
    images = {path.read_bytes() for path in Path(job.dataset.root).glob("nut/t*/*/*.png")}
    assert decodes == dict.fromkeys(images, 1)
    assert CROPS.take((job.part("nut").train[0], job.configuration.preprocessing)) is None
    first_night(replace(job, run_id="second"))
    assert decodes == dict.fromkeys(images, 1) | {b"no image": 2}


def test_features_and_looks_are_those_of_images_that_are_read_again(job: Job, tmp_path: Path) -> None:
    other = prepare.fn(Request(job.dataset, str(tmp_path / "other"), job.configuration))
    ingest.fn(job)
    extract.fn(job.part("nut"))
    ingest.fn(other)
    CROPS.clear()
    extract.fn(other.part("nut"))
    first, second = job.part("nut"), other.part("nut")
    assert first.scored == second.scored
    levels = list(job.configuration.grids)
    for key in [*first.train, *first.scored]:
        assert Looks(first.store).read(key) == Looks(second.store).read(key)
        for one, two in zip(
            first.features.pyramid(key, levels), second.features.pyramid(key, levels), strict=True
        ):
            np.testing.assert_array_equal(one, two)


def test_what_cannot_be_set_by_is_decoded_again(
    job: Job, decodes: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.Crops, "put", full)
    first_night(job)
    del decodes[b"no image"]
    assert set(decodes.values()) == {2}


def test_crops_are_taken_once_as_they_were_put_by_threads() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (5, 3 + number % 4, 3), np.uint8) for number in range(40)]
    crops = Crops()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: crops.put(number, images[number], (number, 0.5)), range(40)))
        taken = list(filter(None, pool.map(crops.take, range(40))))
    for number, (image, (crop, seen)) in enumerate(zip(images, taken, strict=True)):
        np.testing.assert_array_equal(crop, image)
        assert seen == (float(number), 0.5)
        assert crops.take(number) is None


def test_no_more_is_kept_than_there_is_room() -> None:
    crops = Crops(room=250)
    for number in range(3):
        crops.put(number, np.full((5, 7, 3), number, np.uint8), (0.0, 0.0))
    assert [crops.take(number) is not None for number in range(3)] == [True, True, False]
    crops.put(3, np.zeros((5, 7, 3), np.uint8), (0.0, 0.0))
    crops.clear()
    assert crops.take(3) is None
