from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tampering import copy
from tiny import write_image

from storage.datasets.dataset import Dataset, find_categories, read_image, read_mask
from storage.datasets.layouts.frames import Frames
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.location import location

HEIGHT, WIDTH = 6, 9
LENGTHS = {"01_0014": 12, "02_0001": 7}
ANOMALOUS = {"01_0014": range(4, 9), "02_0001": range(0)}


def picture(video: str, number: int) -> NDArray[np.uint8]:
    seed = int(hashlib.sha256(f"{video}/{number}".encode()).hexdigest()[:8], 16)
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def pixel_mask(video: str) -> NDArray[np.uint8]:
    """In frame n of an anomalous stretch, row 2 from column 1 to column n mod 9."""
    values = np.zeros((LENGTHS[video], HEIGHT, WIDTH), np.uint8)
    for number in ANOMALOUS[video]:
        values[number, 2, 1 : 1 + number % WIDTH] = 1
    return values


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training videos of 11 and 4 frames, two test videos, one of them all normal; names not padded."""
    for video, length in (("01_001", 11), ("01_002", 4)):
        for number in range(length):
            write_image(tmp_path / f"training/frames/{video}/{number}.png", picture(video, number))
    for video, length in LENGTHS.items():
        for number in range(length):
            write_image(tmp_path / f"testing/frames/{video}/{number}.png", picture(video, number))
        (tmp_path / f"testing/frames/{video}/Thumbs.db").write_bytes(b"")
        labels = np.isin(np.arange(length), ANOMALOUS[video]).astype(np.int8)
        for folder, values in (("test_frame_mask", labels), ("test_pixel_mask", pixel_mask(video))):
            (tmp_path / "testing" / folder).mkdir(exist_ok=True)
            np.save(tmp_path / f"testing/{folder}/{video}.npy", values)
    return tmp_path


def campus(root: Path | str, layout: Frames) -> Dataset:
    return Dataset(str(root), "campus", layout)


def test_every_fifth_test_frame_has_its_label_and_the_slice_of_its_mask(root: Path) -> None:
    dataset = campus(root, Frames())
    manifest = read_manifest(dataset)
    assert manifest.categories() == ["campus"]
    assert not manifest.excluded()
    assert {entry.image_id.removeprefix("testing/frames/"): entry.anomalous for entry in manifest.test()} == {
        "01_0014/0.png": False,
        "01_0014/5.png": True,
        "01_0014/10.png": False,
        "02_0001/0.png": False,
        "02_0001/5.png": False,
    }
    for entry in manifest.test():
        video, number = Path(entry.image_id).parent.name, int(Path(entry.image_id).stem)
        assert entry.masks == (f"testing/test_pixel_mask/{video}.npy#{number}",)
        assert entry.mask_reason is None
        np.testing.assert_array_equal(read_image(dataset, entry), picture(video, number))
        np.testing.assert_array_equal(read_mask(dataset, entry), pixel_mask(video)[number] > 0)


def test_training_frames_are_spread_evenly_over_all_videos(root: Path) -> None:
    found = [entry.image_id for entry in read_manifest(campus(root, Frames(train_number=5))).train()]
    assert sorted(name.removeprefix("training/frames/") for name in found) == [
        "01_001/0.png",
        "01_001/3.png",
        "01_001/6.png",
        "01_001/9.png",
        "01_002/1.png",
    ]
    assert len(read_manifest(campus(root, Frames())).train()) == 15


def test_a_bucket_has_the_manifest_of_the_folder(root: Path, bucket: str) -> None:
    copy(root, location(bucket))
    dataset = campus(bucket, Frames(test_step=1))
    manifest = read_manifest(dataset)
    assert manifest == read_manifest(campus(root, Frames(test_step=1)))
    assert sum(read_mask(dataset, entry).sum() for entry in manifest.test()) == sum(
        pixel_mask(video).sum() for video in LENGTHS
    )


def test_a_known_mask_is_not_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = campus(root, Frames())
    known = read_manifest(dataset)
    monkeypatch.delattr("storage.datasets.dataset.decode_mask")
    assert read_manifest(dataset, known=known) == known


def test_a_video_whose_labels_do_not_fit_is_set_aside_alone(root: Path) -> None:
    np.save(root / "testing/test_frame_mask/01_0014.npy", np.zeros(11))
    manifest = read_manifest(campus(root, Frames()))
    assert {entry.reason for entry in manifest.excluded()} == {
        "not a label a frame: testing/test_frame_mask/01_0014.npy has 11, the video 12 frames"
    }
    assert len(manifest.test()) == 2
    (root / "testing/test_frame_mask/02_0001.npy").write_bytes(b"not an array")
    reasons = {entry.reason or "" for entry in read_manifest(campus(root, Frames())).excluded()}
    assert any("labels cannot be read: testing/test_frame_mask/02_0001.npy: " in reason for reason in reasons)


def test_masks_that_cannot_be_used_cost_no_frame(root: Path) -> None:
    masks = root / "testing/test_pixel_mask"
    (masks / "02_0001.npy").unlink()
    for values, reason in (
        (pixel_mask("01_0014")[:, :4], "a mask of another size: 9x4, image 9x6"),
        (pixel_mask("01_0014")[:5], "no slice 5"),
        (np.asfortranarray(pixel_mask("01_0014")), "save it in C order"),
        (np.zeros((12, HEIGHT, WIDTH), np.uint8), "no pixel of the mask is above 0"),
        (np.zeros((12, HEIGHT, WIDTH, 2), np.uint8), "is no mask"),
    ):
        np.save(masks / "01_0014.npy", values)
        found = {entry.image_id: entry for entry in read_manifest(campus(root, Frames())).test()}
        assert len(found) == 5
        assert reason in (found["testing/frames/01_0014/5.png"].mask_reason or "")
        assert found["testing/frames/02_0001/5.png"].mask_reason is None
    content = (masks / "01_0014.npy").read_bytes()
    (masks / "01_0014.npy").write_bytes(content[:200])
    found = {entry.image_id: entry for entry in read_manifest(campus(root, Frames())).test()}
    assert "truncated" in (found["testing/frames/01_0014/5.png"].mask_reason or "")


def test_frames_are_recognised_by_their_folders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert Dataset.at(root).recognised().layout == Frames()
    named = campus(root, Frames(test_step=1))
    assert named.recognised() == named
    other = tmp_path_factory.mktemp("other")
    write_image(other / "bottle/train/good/0.png", picture("other", 0))
    assert Dataset.at(other).recognised() == Dataset.at(other)


def test_a_folder_without_videos_is_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"no video under .*training/clips: expected VIDEO/NAME\.jpg"):
        find_categories(campus(root, Frames(train="training/clips")))
    with pytest.raises(DatasetError, match="test_step is 0"):
        Frames(test_step=0)
