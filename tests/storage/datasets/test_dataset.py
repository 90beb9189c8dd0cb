from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tampering import copy, overwrite

from storage.datasets.dataset import Dataset, find_categories, read_content, read_image, read_mask
from storage.datasets.images import UnreadableImageError, decode_image, decode_mask
from storage.datasets.manifest import OK, SET_ASIDE, ImageFile, Manifest, last_manifest
from storage.datasets.masks import doubt, scale
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError
from storage.store.location import location
from storage.store.store import Store
from storage.store.tables import parse_table, table_bytes

HEIGHT, WIDTH = 5, 8


def picture(number: int) -> NDArray[np.uint8]:
    """A picture of its own for each number, not square."""
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def spot(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[1:3, 2:4] = 255
    return mask


def read(root: str | Path, categories: Sequence[str] = (), **options: Any) -> Manifest:
    return read_manifest(Dataset.at(root), categories, **options)


def put(path: Path, values: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def fill(folder: Path, first: int = 0) -> Path:
    """A category: two training images, a good and a scratched test image with its mask."""
    put(folder / "train/good/000.png", picture(first))
    put(folder / "train/good/001.png", picture(first + 1))
    put(folder / "test/good/000.png", picture(first + 2))
    put(folder / "test/scratch/000.png", picture(first + 3))
    put(folder / "ground_truth/scratch/000_mask.png", spot())
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset of one whole category."""
    fill(tmp_path / "data" / "bottle")
    return tmp_path / "data"


def entry_of(manifest: Manifest, image_id: str) -> ImageFile:
    return next(entry for entry in manifest.files if entry.image_id == image_id)


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every content that is decoded from here on."""
    seen: list[bytes] = []

    def image(content: bytes) -> tuple[NDArray[np.uint8], str]:
        seen.append(content)
        return decode_image(content)

    def mask(content: bytes) -> NDArray[np.float32]:
        seen.append(content)
        return decode_mask(content)

    monkeypatch.setattr("storage.datasets.scan.decode_image", image)
    monkeypatch.setattr("storage.datasets.dataset.decode_mask", mask)
    return seen


# what a whole dataset holds


def test_every_image_is_listed_with_its_facts(root: Path) -> None:
    manifest = read(root)
    content = (root / "bottle/test/scratch/000.png").read_bytes()
    mask = (root / "bottle/ground_truth/scratch/000_mask.png").read_bytes()
    assert [entry.image_id for entry in manifest.files] == [
        "bottle/test/good/000.png",
        "bottle/test/scratch/000.png",
        "bottle/train/good/000.png",
        "bottle/train/good/001.png",
    ]
    assert entry_of(manifest, "bottle/test/scratch/000.png") == ImageFile(
        dataset="data",
        category="bottle",
        split="test",
        image_id="bottle/test/scratch/000.png",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        width=WIDTH,
        height=HEIGHT,
        mode="RGB",
        anomalous=True,
        defect="scratch",
        masks=("bottle/ground_truth/scratch/000_mask.png",),
        mask_sha256=hashlib.sha256(mask).hexdigest(),
        mask_peak=255,
        mask_threshold=127,
    )
    assert not entry_of(manifest, "bottle/test/good/000.png").anomalous
    manifest.check()


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".JPEG", ".Bmp", ".tif", ".TIFF"])
def test_a_suffix_in_any_case_is_an_image(root: Path, suffix: str) -> None:
    name = f"bottle/test/scratch/001{suffix}"
    put(root / name, picture(9))
    put(root / "bottle/ground_truth/scratch/001_mask.PNG", spot())
    entry = entry_of(read(root), name)
    assert (entry.status, entry.mask_reason) == (OK, None)
    assert read_image(Dataset.at(root), entry).shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(read_mask(Dataset.at(root), entry), spot() > 0)


def test_a_mask_may_be_named_as_its_image(root: Path) -> None:
    mask = root / "bottle/ground_truth/scratch/000_mask.png"
    mask.rename(mask.with_name("000.png"))
    assert entry_of(read(root), "bottle/test/scratch/000.png").mask_sha256 is not None


def test_hidden_files_and_those_of_file_browsers_are_no_images(root: Path) -> None:
    before = read(root)
    for name in ("._000.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (root / "bottle/train/good" / name).write_bytes(b"x")
    fill(root / ".cache")
    assert read(root) == before


def test_training_images_are_ordered_by_content_and_test_images_by_name(root: Path) -> None:
    manifest = read(root)
    assert [entry.key for entry in manifest.train()] == sorted(
        hashlib.sha256((root / f"bottle/train/good/{name}.png").read_bytes()).hexdigest()
        for name in ("000", "001")
    )
    assert [entry.image_id for entry in manifest.test()] == [
        "bottle/test/good/000.png",
        "bottle/test/scratch/000.png",
    ]


def test_progress_counts_every_file(root: Path) -> None:
    calls: list[tuple[int, int]] = []
    read(root, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("way", [".", "..", "bottle/.."])
def test_a_dataset_is_named_after_its_folder_however_it_is_reached(
    root: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root / "bottle" if way == ".." else root)
    manifest = read(way)
    assert (manifest.dataset, manifest.categories()) == ("data", ["bottle"])


# categories


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dataset at .*absent: no such folder"):
        read(tmp_path / "absent")


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match=r"no dataset at .*data\.zip: it is a file"):
        find_categories(Dataset.at(tmp_path / "data.zip"))


def test_a_root_with_no_category_tells_the_layout(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(DatasetError, match=f"no category under {tmp_path}: expected CATEGORY/train/good"):
        read(tmp_path)


def test_a_root_that_is_one_category_tells_the_remedy(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"bottle is one category: name its parent .*--category 'bottle'"):
        read(root / "bottle")


def test_named_categories_alone_are_read(root: Path) -> None:
    fill(root / "cable", 10)
    assert read(root).categories() == ["bottle", "cable"]
    assert read(root, ["cable", "cable"]).categories() == ["cable"]


def test_an_unknown_category_suggests_near_names(root: Path) -> None:
    fill(root / "zipper", 10)
    with pytest.raises(DatasetError, match=r"no category 'botle' under .*did you mean bottle\?$"):
        read(root, ["botle"])


def test_an_unknown_category_like_no_other_gets_all_names(root: Path) -> None:
    fill(root / "cable", 10)
    with pytest.raises(DatasetError, match=r"did you mean bottle, cable\?$"):
        read(root, ["xyz"])


@pytest.mark.parametrize("name", ["metal nut", "瓶 Übermaß", "007", "a=b", "50%"])
def test_a_category_of_any_name_survives_parquet_as_a_string(tmp_path: Path, name: str) -> None:
    fill(tmp_path / name / name)
    store = Store.open(tmp_path / "store", create=True)
    manifest = read(tmp_path / name)
    store.write(store.manifest(name), table_bytes(manifest.table()))
    assert last_manifest(store, name) == manifest
    assert set(manifest.table().to_pandas()["category"]) == {name}
    assert entry_of(manifest, f"{name}/test/scratch/000.png").mask_reason is None
    manifest.check()


def test_there_is_no_last_manifest_before_the_first_or_of_a_damaged_file(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store", create=True)
    assert last_manifest(store, "data") is None
    store.write(store.manifest("data"), b"not parquet")
    assert last_manifest(store, "data") is None


def test_a_manifest_of_a_part_holds_that_category(root: Path) -> None:
    fill(root / "cable", 10)
    part = read(root).of("cable")
    assert part.categories() == ["cable"]
    assert len(part.files) == 4


# what cannot be evaluated, and what can


@pytest.mark.parametrize("folder", ["train/good", "train"])
def test_a_category_without_training_images_cannot_be_evaluated(root: Path, folder: str) -> None:
    for name in ("000", "001"):
        (root / f"bottle/train/good/{name}.png").unlink()
    if folder == "train":
        (root / "bottle/train/good").rmdir()
    with pytest.raises(DatasetError, match=r"no usable training image.*train/good"):
        read(root).check()


def test_a_category_whose_training_images_are_all_broken_cannot_be_evaluated(root: Path) -> None:
    for name in ("000", "001"):
        (root / f"bottle/train/good/{name}.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no usable training image"):
        read(root).check()


def test_a_category_without_test_images_cannot_be_evaluated(root: Path) -> None:
    (root / "bottle/test/good/000.png").unlink()
    (root / "bottle/test/scratch/000.png").unlink()
    with pytest.raises(DatasetError, match=r"no usable test image.*test/good"):
        read(root).check()


def test_a_category_without_any_file_is_listed_so_that_it_can_be_reported(root: Path) -> None:
    (root / "empty/train/good").mkdir(parents=True)
    manifest = read(root)
    assert manifest.categories() == ["bottle", "empty"]
    with pytest.raises(DatasetError, match="no usable training image"):
        manifest.of("empty").check()


@pytest.mark.parametrize(("removed", "kept"), [("good", "scratch"), ("scratch", "good")])
def test_test_images_of_one_kind_alone_are_still_listed(root: Path, removed: str, kept: str) -> None:
    (root / f"bottle/test/{removed}/000.png").unlink()
    manifest = read(root)
    manifest.check()
    assert [entry.defect for entry in manifest.test()] == [kept]


# broken files


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("002.png", b"", "unreadable: the file is empty"),
        ("002.png", b"just a text\n" * 9, "unreadable: not an image"),
        ("002.txt", b"a note", ".txt is not one of .bmp, .jpeg, .jpg, .png, .tif, .tiff"),
        ("README", b"a note", "no suffix is not one of .bmp, .jpeg, .jpg, .png, .tif, .tiff"),
    ],
)
def test_a_broken_file_is_set_aside_and_the_others_go_on(
    root: Path, name: str, content: bytes, reason: str
) -> None:
    (root / "bottle/train/good" / name).write_bytes(content)
    manifest = read(root)
    assert [(entry.image_id, entry.status, entry.reason) for entry in manifest.excluded()] == [
        (f"bottle/train/good/{name}", SET_ASIDE, reason)
    ]
    assert (len(manifest.train()), len(manifest.test())) == (2, 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_a_truncated_file_is_set_aside(root: Path, suffix: str) -> None:
    path = put(root / f"bottle/test/scratch/001{suffix}", picture(9))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (broken,) = read(root).excluded()
    assert broken.image_id == f"bottle/test/scratch/001{suffix}"
    assert broken.reason is not None
    assert broken.reason.startswith("unreadable: ")


def test_a_floating_point_image_is_set_aside_with_the_remedy(root: Path) -> None:
    put(root / "bottle/test/good/001.tif", np.zeros((HEIGHT, WIDTH), np.float32))
    (broken,) = read(root).excluded()
    assert "save it with 8 or 16 bits" in (broken.reason or "")


def test_a_link_to_a_file_that_is_gone_is_set_aside(root: Path) -> None:
    (root / "bottle/train/good/002.png").symlink_to(root / "gone.png")
    (broken,) = read(root).excluded()
    assert broken.image_id == "bottle/train/good/002.png"
    assert f"a symbolic link to nothing: {root}/gone.png" == broken.reason


def test_a_training_image_with_a_defect_is_set_aside(root: Path) -> None:
    put(root / "bottle/train/scratch/000.png", picture(9))
    (odd,) = read(root).excluded()
    assert (odd.image_id, odd.reason) == (
        "bottle/train/scratch/000.png",
        "a defect among the training images",
    )


def test_what_is_no_file_is_set_aside_with_its_reason(root: Path) -> None:
    good = root / "bottle/train/good"
    (good / "circle.png").symlink_to("circle.png")
    os.mkfifo(good / "pipe.png")
    (good / "zeros.png").symlink_to("/dev/zero")
    (root / "bottle/ground_truth/scratch/000_mask.png").unlink()
    os.mkfifo(root / "bottle/ground_truth/scratch/000_mask.png")
    manifest = read(root)
    assert {
        image.image_id.removeprefix("bottle/train/good/"): image.reason for image in manifest.excluded()
    } == {
        "circle.png": "a symbolic link that leads back to itself",
        "pipe.png": "a pipe, not a file",
        "zeros.png": "a device, not a file",
    }
    scratched = entry_of(manifest, "bottle/test/scratch/000.png")
    assert scratched.mask_reason == "unreadable mask: a pipe, not a file"
    assert (len(manifest.train()), len(manifest.test())) == (2, 2)


def test_a_folder_that_cannot_be_listed_is_set_aside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root / "cable", 10)
    fill(root / "nut", 20)
    forbidden = {root / "bottle/test/scratch", root / "nut"}
    scandir = os.scandir

    def refusing(folder: Path) -> Any:
        if forbidden & {folder, *folder.parents}:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    manifest = read(root)
    reason = "a folder that cannot be read: Permission denied"
    assert [
        (e.category, e.split, e.image_id, e.reason) for e in manifest.excluded() if e.reason == reason
    ] == [
        ("bottle", "test", "bottle/test/scratch", reason),
        ("nut", "test", "nut", reason),
    ]
    manifest.of("bottle").check()
    with pytest.raises(DatasetError, match="no usable training image"):
        manifest.of("nut").check()
    assert not read(root, ["cable"]).excluded()
    forbidden.add(root)
    with pytest.raises(DatasetError, match=r"the dataset at .* is a folder that cannot be read: Permission"):
        read(root)


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"\xff\xfe.png"])
def test_a_name_that_is_not_utf8_is_set_aside_for_that(root: Path, name: bytes) -> None:
    shown = name.decode(errors="backslashreplace")
    good = os.fsencode(root / "bottle/train/good")
    try:
        os.link(os.path.join(good, b"000.png"), os.path.join(good, name))
        os.rename(
            os.fsencode(root / "bottle/test/scratch"), os.path.join(os.fsencode(root / "bottle/test"), name)
        )
    except OSError:
        pytest.skip("the file system has no such names")
    manifest = read(root)
    found = {image.image_id: image.reason for image in manifest.excluded() if image.split != "ground_truth"}
    assert found == dict.fromkeys(
        (f"bottle/train/good/{shown}", f"bottle/test/{shown}"), "the name is not UTF-8: rename it"
    )
    assert Manifest.from_table(parse_table(table_bytes(manifest.table()))) == manifest
    assert [image.image_id for image in manifest.train()] != []
    with pytest.raises(DatasetError, match=re.escape(f"{shown} is not UTF-8: rename its folders")):
        read(os.fsdecode(os.path.join(good, name)))
    with pytest.raises(DatasetError, match="no category"):
        find_categories(Dataset.at(root), [os.fsdecode(name)])


def test_a_file_that_was_set_aside_has_no_key(root: Path) -> None:
    (root / "bottle/train/good/note.txt").write_text("a note")
    (note,) = read(root).excluded()
    with pytest.raises(ValueError, match=r"note\.txt was set aside: \.txt is not one of"):
        _ = note.key


def test_images_can_be_set_aside_later_with_a_reason(root: Path) -> None:
    manifest = read(root).exclude({"bottle/test/good/000.png": "it changed"})
    assert [(entry.image_id, entry.reason) for entry in manifest.excluded()] == [
        ("bottle/test/good/000.png", "it changed")
    ]
    assert len(manifest.test()) == 1


# masks


def test_an_anomalous_image_without_a_mask_says_so(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/000_mask.png").unlink()
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.status, entry.mask_reason, entry.mask_sha256) == (OK, "no mask", None)


def test_a_mask_of_another_size_says_both(root: Path) -> None:
    put(root / "bottle/ground_truth/scratch/000_mask.png", spot(WIDTH, HEIGHT))
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.mask_reason, entry.mask_sha256) == ("a mask of another size: 5x8, image 8x5", None)


def test_an_empty_mask_is_not_used(root: Path) -> None:
    put(root / "bottle/ground_truth/scratch/000_mask.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.mask_reason, entry.mask_sha256) == ("no pixel of the mask is above 127 of 255", None)


def test_an_empty_mask_of_a_good_image_is_right(root: Path) -> None:
    put(root / "bottle/ground_truth/good/000_mask.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    entry = entry_of(read(root), "bottle/test/good/000.png")
    assert entry.mask_reason is None
    assert not read_mask(Dataset.at(root), entry).any()


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"a note"])
def test_an_unreadable_mask_is_not_used_and_its_image_is(root: Path, content: bytes) -> None:
    (root / "bottle/ground_truth/scratch/000_mask.png").write_bytes(content)
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.status, entry.mask_sha256) == (OK, None)
    assert (entry.mask_reason or "").startswith("unreadable mask: ")


def test_a_mask_that_no_decoder_takes_stops_no_other(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/000_mask.png").unlink()
    Image.new("LAB", (WIDTH, HEIGHT)).save(root / "bottle/ground_truth/scratch/000_mask.tif")
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.mask_reason or "").startswith("unreadable mask: ")


def test_a_mask_without_an_image_is_set_aside(root: Path) -> None:
    put(root / "bottle/ground_truth/scratch/044_mask.png", spot())
    (orphan,) = read(root).excluded()
    assert (orphan.split, orphan.image_id) == ("ground_truth", "bottle/ground_truth/scratch/044_mask.png")
    assert orphan.reason == "a mask without an image: scratch/044"


def test_a_second_mask_of_an_image_is_set_aside(root: Path) -> None:
    put(root / "bottle/ground_truth/scratch/000_mask.tif", spot())
    manifest = read(root)
    used = entry_of(manifest, "bottle/test/scratch/000.png")
    assert used.mask_sha256 is not None
    assert len(manifest.excluded()) == 1


def test_a_note_beside_a_mask_does_not_take_its_place(root: Path) -> None:
    (root / "bottle/ground_truth/scratch/000_mask.txt").write_text("drawn by hand")
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    assert (entry.masks, entry.mask_reason) == (("bottle/ground_truth/scratch/000_mask.png",), None)


# the same image twice


def test_a_test_image_that_is_also_in_training_gets_a_warning(root: Path) -> None:
    put(root / "bottle/test/good/001.png", picture(1))
    manifest = read(root)
    twin = entry_of(manifest, "bottle/test/good/001.png")
    assert (twin.status, twin.warning) == (
        OK,
        "the same image is in training: bottle/train/good/001.png",
    )
    assert [entry.image_id for entry in manifest.files if entry.warning] == [twin.image_id]


def test_the_same_image_in_another_category_is_no_cause_for_a_warning(root: Path) -> None:
    fill(root / "cable", 10)
    put(root / "cable/test/good/001.png", picture(1))
    assert not [entry for entry in read(root).files if entry.warning]


# the digest


def test_the_digest_does_not_depend_on_names_of_files(root: Path) -> None:
    before = read(root).digest()
    for name, other in (
        ("train/good/000.png", "train/good/zzz.png"),
        ("test/scratch/000.png", "test/scratch/one.png"),
        ("ground_truth/scratch/000_mask.png", "ground_truth/scratch/one_mask.png"),
    ):
        (root / "bottle" / name).rename(root / "bottle" / other)
    assert read(root).digest() == before


def test_the_digest_does_not_depend_on_what_is_set_aside(root: Path) -> None:
    before = read(root).digest()
    (root / "bottle/train/good/broken.png").write_bytes(b"")
    assert read(root).digest() == before


def test_the_digest_depends_on_contents_labels_and_masks(root: Path) -> None:
    scratched, folder = root / "bottle/test/scratch/000.png", root / "bottle"
    found = [read(root).digest()]
    put(folder / "train/good/000.png", picture(99))
    found.append(read(root).digest())
    put(folder / "train/good/002.png", picture(98))
    found.append(read(root).digest())
    put(folder / "ground_truth/scratch/000_mask.png", 255 - spot())
    found.append(read(root).digest())
    (folder / "ground_truth/scratch/000_mask.png").unlink()
    found.append(read(root).digest())
    (folder / "test/dent").mkdir()
    scratched.rename(folder / "test/dent/000.png")
    found.append(read(root).digest())
    (folder / "test/dent/000.png").rename(folder / "test/good/003.png")
    found.append(read(root).digest())
    (folder / "test/good/003.png").rename(folder / "train/good/003.png")
    found.append(read(root).digest())
    assert len(set(found)) == 8


# a manifest that is known


def test_known_content_is_not_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(root)
    seen = decoded(monkeypatch)
    assert read(root, known=known) == known
    assert seen == []


def test_changed_content_is_noticed_though_its_name_is_known(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = read(root)
    changed = put(root / "bottle/train/good/000.png", picture(99)[:, :6])
    stat = (root / "bottle/train/good/001.png").stat()
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    seen = decoded(monkeypatch)
    manifest = read(root, known=known)
    assert seen == [changed.read_bytes()]
    assert entry_of(manifest, "bottle/train/good/000.png").width == 6
    assert manifest == read(root)


def test_a_changed_mask_is_noticed_though_its_image_is_known(root: Path) -> None:
    known = read(root)
    put(root / "bottle/ground_truth/scratch/000_mask.png", spot(4, 4))
    manifest = read(root, known=known)
    assert (
        entry_of(manifest, "bottle/test/scratch/000.png").mask_reason
        == "a mask of another size: 4x4, image 8x5"
    )


def test_renamed_content_is_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(root)
    (root / "bottle/train/good/000.png").rename(root / "bottle/train/good/new.png")
    seen = decoded(monkeypatch)
    assert entry_of(read(root, known=known), "bottle/train/good/new.png").width == WIDTH
    assert seen == []


def test_a_broken_file_is_set_aside_again_when_the_manifest_is_known(root: Path) -> None:
    (root / "bottle/train/good/broken.png").write_bytes(b"")
    known = read(root)
    assert read(root, known=known) == known


def test_an_image_with_a_new_label_is_judged_as_if_it_were_not_known(root: Path) -> None:
    """An empty mask is right for a good image and useless for an anomalous one."""
    put(root / "bottle/ground_truth/good/000_mask.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    known = read(root)
    (root / "bottle/test/good").rename(root / "bottle/test/dent")
    (root / "bottle/ground_truth/good").rename(root / "bottle/ground_truth/dent")
    assert read(root, known=known) == read(root)


# files that are unchanged


def age(root: Path) -> None:
    """Make every file an hour old: what has just been written may be written once more."""
    for path in root.rglob("*"):
        if path.is_file():
            stat = path.stat()
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 3600 * 10**9))


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every file that is read from here on."""
    names: list[str] = []

    def count(dataset: Dataset, name: str) -> bytes:
        names.append(name)
        return read_content(dataset, name)

    monkeypatch.setattr("storage.datasets.scan.read_content", count)
    return names


def test_an_unchanged_file_is_not_read_again_unless_to_verify(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(root)
    first = read(root)
    known = Manifest.from_table(parse_table(table_bytes(first.table())))
    names = reads(monkeypatch)
    assert read(root, known=known) == first
    assert names == []
    assert read(root, known=known, verify=True) == first
    assert len(names) == 5


def test_what_was_written_just_now_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = read(root)
    names = reads(monkeypatch)
    assert read(root, known=known) == known
    assert len(names) == 5


@pytest.mark.parametrize("change", ["size", "time", "inode", "name"])
def test_a_file_of_another_size_time_inode_or_name_is_read(
    root: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(root)
    known = read(root)
    path = root / "bottle/train/good/000.png"
    stat = path.stat()
    content = path.read_bytes()
    if change == "inode":
        path.rename(root / "kept elsewhere")
    if change == "name":
        path.rename(path.with_name("new.png"))
    else:
        path.write_bytes(content + b"\0" * (change == "size"))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + (change == "time")))
    names = reads(monkeypatch)
    assert read(root, known=known) == read(root)
    assert set(names[:1]) == {f"bottle/train/good/{'new' if change == 'name' else '000'}.png"}
    assert len(names) == 1 + 5


def test_a_changed_mask_alone_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    age(root)
    known = read(root)
    put(root / "bottle/ground_truth/scratch/000_mask.png", 255 - spot())
    names = reads(monkeypatch)
    manifest = read(root, known=known)
    assert names == ["bottle/ground_truth/scratch/000_mask.png"]
    assert manifest.digest() != known.digest()


def test_in_a_bucket_the_etag_tells(root: Path, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = location(f"{bucket}/data")
    copy(root, there)
    known = read(str(there))
    names = reads(monkeypatch)
    assert read(str(there), known=known) == known
    assert names == []
    overwrite(there / "bottle/train/good/000.png", (root / "bottle/test/good/000.png").read_bytes())
    assert read(str(there), known=known).digest() != known.digest()
    assert names == ["bottle/train/good/000.png"]


# what masks hold


@pytest.mark.parametrize(
    ("peak", "dtype"), [(1, "uint8"), (3, "uint8"), (255, "uint8"), (1, "uint16"), (65535, "uint16")]
)
def test_the_scale_of_masks_is_found(root: Path, peak: int, dtype: str) -> None:
    put(
        root / "bottle/ground_truth/scratch/000_mask.png",
        (spot() > 0).astype(dtype) * np.dtype(dtype).type(peak),
    )
    image = entry_of(read(root), "bottle/test/scratch/000.png")
    assert image.mask_reason is None
    np.testing.assert_array_equal(read_mask(Dataset.at(root), image), spot() > 0)


def test_one_full_mask_says_that_the_dim_ones_of_its_category_are_shades(root: Path) -> None:
    put(root / "bottle/test/scratch/001.png", picture(9))
    put(root / "bottle/ground_truth/scratch/001_mask.png", spot() // 4)
    manifest = read(root)
    assert (
        entry_of(manifest, "bottle/test/scratch/001.png").mask_reason
        == "no pixel of the mask is above 127 of 255"
    )
    (root / "bottle/test/scratch/000.png").unlink()
    found = read(root)
    assert entry_of(found, "bottle/test/scratch/001.png").mask_threshold == 0
    assert doubt(found.files) is not None
    assert doubt(manifest.files) is None
    assert scale(found.files) == "0 to 63, anomalous above 0"
    assert read(root, known=manifest) == found


# reading again


def test_an_image_and_its_mask_are_read_as_the_manifest_saw_them(root: Path) -> None:
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    np.testing.assert_array_equal(read_image(Dataset.at(root), entry), picture(3))
    np.testing.assert_array_equal(read_mask(Dataset.at(root), entry), spot() > 0)


def test_an_image_that_changed_since_is_refused(root: Path) -> None:
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    put(root / entry.image_id, picture(99))
    with pytest.raises(UnreadableImageError, match=r"bottle/test/scratch/000\.png changed"):
        read_image(Dataset.at(root), entry)


def test_an_image_that_is_gone_is_refused(root: Path) -> None:
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    (root / entry.image_id).unlink()
    with pytest.raises(UnreadableImageError, match=r"bottle/test/scratch/000\.png: No such file"):
        read_image(Dataset.at(root), entry)


def test_a_mask_that_changed_since_or_is_gone_is_refused(root: Path) -> None:
    entry = entry_of(read(root), "bottle/test/scratch/000.png")
    mask = put(root / "bottle/ground_truth/scratch/000_mask.png", 255 - spot())
    with pytest.raises(UnreadableImageError, match=r"000_mask\.png changed"):
        read_mask(Dataset.at(root), entry)
    mask.unlink()
    with pytest.raises(UnreadableImageError, match=r"000_mask\.png: No such file"):
        read_mask(Dataset.at(root), entry)


def test_an_entry_without_a_mask_has_none_to_read(root: Path) -> None:
    entry = entry_of(read(root), "bottle/test/good/000.png")
    with pytest.raises(ValueError, match=r"test/good/000\.png has no mask"):
        read_mask(Dataset.at(root), entry)
