from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny import write_image

from storage.datasets.dataset import Dataset, find_categories, read_image, read_mask
from storage.datasets.layouts.folders import Folders
from storage.datasets.manifest import ImageFile, Manifest
from storage.datasets.scan import read_manifest
from storage.datasets.tree import Tree
from storage.errors import DatasetError

HEIGHT, WIDTH = 6, 9
TILES = Folders(normal=("MT_Free/*.png",), anomalous=("MT_{defect}/*.png",), mask="masks/{defect}/{name}")
CONTENTS = st.sets(st.integers(0, 10**6).map(lambda n: hashlib.sha256(b"%d" % n).hexdigest()))


def picture(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)


def ramp(low: int, high: int) -> NDArray[np.uint8]:
    return np.linspace(low, high, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)


def read(root: Path, layout: Folders, **options: Any) -> Manifest:
    return read_manifest(Dataset(str(root), "tiles", layout), **options)


def sides(manifest: Manifest) -> dict[str, tuple[str, str]]:
    return {entry.image_id: (entry.split, entry.defect) for entry in manifest.files}


def by_id(manifest: Manifest) -> dict[str, ImageFile]:
    return {entry.image_id: entry for entry in manifest.files}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty normal images, two of each defect with a mask, one more without."""
    for number in range(20):
        write_image(tmp_path / f"MT_Free/{number}.png", picture(number))
    for first, defect in ((100, "Crack"), (200, "Fray")):
        for number in (first, first + 1):
            write_image(tmp_path / f"MT_{defect}/{number}.png", picture(number))
            write_image(tmp_path / f"masks/{defect}/{number}.png", ramp(0, 255))
    write_image(tmp_path / "MT_Fray/300.png", picture(300))
    return tmp_path


# what the patterns say


def test_patterns_tell_kinds_masks_and_the_one_category(root: Path) -> None:
    manifest = read(root, TILES)
    assert manifest.categories() == ["tiles"]
    manifest.check()
    assert not manifest.excluded()
    test = [entry for entry in manifest.test() if entry.anomalous]
    assert [(entry.image_id, entry.defect, entry.mask_reason) for entry in test] == [
        ("MT_Crack/100.png", "Crack", None),
        ("MT_Crack/101.png", "Crack", None),
        ("MT_Fray/200.png", "Fray", None),
        ("MT_Fray/201.png", "Fray", None),
        ("MT_Fray/300.png", "Fray", "no mask"),
    ]
    assert all(entry.defect == "good" and not entry.anomalous for entry in manifest.train())
    free = [entry for entry in manifest.files if entry.image_id.startswith("MT_Free/")]
    assert len(free) == 20
    assert {entry.split for entry in free} == {"train", "test"}


def test_a_table_names_kinds_that_no_path_names(root: Path) -> None:
    layout = Folders(normal=("MT_Free/*",), anomalous={"broken": "MT_Crack/*", "worn out": "MT_Fray/2*"})
    found = sides(read(root, layout))
    assert {kind for _, kind in found.values()} == {"good", "broken", "worn out"}
    assert found["MT_Fray/201.png"] == ("test", "worn out")
    assert "MT_Fray/300.png" not in found


def test_anomalous_images_of_no_named_kind_are_anomalous(root: Path) -> None:
    found = sides(read(root, Folders(normal=("MT_Free/*",), anomalous=("MT_Crack/*",))))
    assert found["MT_Crack/100.png"] == ("test", "anomalous")


def test_the_one_category_can_be_named(root: Path) -> None:
    layout = Folders(normal=("MT_Free/*",), category="free")
    assert read(root, layout).categories() == ["free"]
    with pytest.raises(DatasetError, match=r"no category 'tiles' .* did you mean free"):
        find_categories(Dataset(str(root), "tiles", layout), ["tiles"])


def test_a_part_of_the_pattern_can_name_the_category(root: Path) -> None:
    layout = Folders(normal=("MT_{category}/*0.png",), anomalous=("MT_{category}/*1.png",), train_number=1)
    manifest = read(root, layout, categories=["Fray"])
    assert find_categories(Dataset(str(root), "tiles", layout)) == ["Crack", "Fray", "Free"]
    assert manifest.categories() == ["Fray"]
    assert sides(manifest)["MT_Fray/201.png"] == ("test", "anomalous")


def test_a_published_division_is_kept(root: Path) -> None:
    layout = Folders(
        train_normal=("MT_Free/1?.png",), test_normal=("MT_Free/*.png",), anomalous=("MT_{defect}/*.png",)
    )
    found = sides(read(root, layout))
    assert {name for name, (split, _) in found.items() if split == "train"} == {
        f"MT_Free/{number}.png" for number in range(10, 20)
    }
    assert found["MT_Free/3.png"] == ("test", "good")


def test_the_kind_good_is_normal(root: Path) -> None:
    (root / "MT_Fray").rename(root / "MT_good")
    found = by_id(read(root, Folders(train_normal=("MT_Free/*",), anomalous=("MT_{defect}/*",))))
    assert not found["MT_good/200.png"].anomalous
    assert found["MT_Crack/100.png"].anomalous


def test_masks_beside_their_images_are_no_images(root: Path) -> None:
    for number in (100, 101):
        write_image(root / f"MT_Crack/{number}_mask.png", ramp(0, 255))
        write_image(root / f"MT_Crack/{number}.bmp", ramp(0, 255))
    for mask in ("{parent}/{stem}.bmp", "{parent}/{stem}_mask.png", "{parent}/../MT_Crack/{stem}_mask.png"):
        layout = Folders(normal=("MT_Free/*",), anomalous=("MT_Crack/1??.png", "MT_{defect}/*"), mask=mask)
        found = by_id(read(root, layout))
        assert found["MT_Crack/100.png"].masks in (("MT_Crack/100.bmp",), ("MT_Crack/100_mask.png",))
        assert not {*found["MT_Crack/100.png"].masks} & {*found}


def test_a_file_that_is_no_image_is_set_aside(root: Path) -> None:
    (root / "MT_Free/note.txt").write_text("a note")
    (root / "MT_Free/empty.png").write_bytes(b"")
    reasons = {
        entry.image_id: entry.reason for entry in read(root, Folders(normal=("MT_Free/*",))).excluded()
    }
    assert sorted(reasons) == ["MT_Free/empty.png", "MT_Free/note.txt"]
    assert reasons["MT_Free/empty.png"] == "unreadable: the file is empty"


def test_patterns_that_match_nothing_are_named(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"no file under .* matches Free/\*\.jpg, nothing/\*: mend"):
        read(root, Folders(normal=("Free/*.jpg",), anomalous=("nothing/*",)))


# masks


@pytest.mark.parametrize("threshold", [0, 127, 200])
def test_a_smooth_mask_is_cut_above_the_threshold(root: Path, threshold: int) -> None:
    layout = Folders(normal=("MT_Free/*.png",), mask="masks/Crack/{name}", anomalous=TILES.anomalous)
    dataset = Dataset(str(root), "tiles", Folders(**(vars(layout) | {"mask_threshold": threshold})))
    entry = by_id(read_manifest(dataset))["MT_Crack/100.png"]
    np.testing.assert_array_equal(read_mask(dataset, entry), ramp(0, 255) > threshold)
    assert read_image(dataset, entry).shape == (HEIGHT, WIDTH, 3)


def test_a_mask_without_a_pixel_above_the_threshold_is_not_used(root: Path) -> None:
    write_image(root / "masks/Crack/100.png", ramp(0, 90))
    found = by_id(read(root, TILES))
    assert found["MT_Crack/100.png"].mask_reason == "no pixel of the mask is above 127 of 255"
    low = by_id(read(root, Folders(**(vars(TILES) | {"mask_threshold": 80}))))
    assert low["MT_Crack/100.png"].mask_reason is None


def test_another_threshold_is_another_mask_in_the_digest_and_to_a_known_manifest(root: Path) -> None:
    write_image(root / "masks/Crack/100.png", ramp(0, 90))
    lower = Folders(**(vars(TILES) | {"mask_threshold": 80}))
    low, half = read(root, lower), read(root, TILES)
    assert low.digest() != half.digest()
    assert read(root, TILES, known=low) == half
    assert read(root, lower, known=half) == low


# the division


@pytest.mark.parametrize("change", [{}, {"train_number": 7}, {"train_share": 0.3, "seed": 5}])
def test_the_division_does_not_depend_on_names(root: Path, change: dict[str, Any]) -> None:
    layout = Folders(**(vars(TILES) | change))
    before = read(root, layout)
    for number in range(20):
        (root / f"MT_Free/{number}.png").rename(root / f"MT_Free/renamed {19 - number}.png")
    assert read(root, layout).digest() == before.digest()


def test_copies_of_an_image_are_on_one_side(root: Path) -> None:
    for number in range(20):
        content = (root / f"MT_Free/{number}.png").read_bytes()
        (root / f"MT_Free/copy of {number}.png").write_bytes(content)
    manifest = read(root, Folders(normal=("MT_Free/*",), train_number=9))
    assert len(manifest.train()) == 18
    assert not [entry for entry in manifest.files if entry.warning]


def test_each_category_is_divided_by_itself(tmp_path: Path) -> None:
    for name, first in (("nut", 0), ("bolt", 50)):
        for number in range(5):
            write_image(tmp_path / name / f"{number}.png", picture(first + number))
    manifest = read(tmp_path, Folders(normal=("{category}/*",), train_number=3))
    assert [len(manifest.of(name).train()) for name in ("bolt", "nut")] == [3, 3]
    assert [len(manifest.of(name).test()) for name in ("bolt", "nut")] == [2, 2]


@given(CONTENTS, CONTENTS, st.floats(0.01, 0.99), st.integers(0, 99))
def test_new_images_move_no_other_where_a_share_is_asked_for(
    old: set[str], new: set[str], share: float, seed: int
) -> None:
    layout = Folders(normal=("*",), train_share=share, seed=seed)
    assert layout.trained(old | new) & old == layout.trained(old)


@given(CONTENTS, CONTENTS, st.integers(1, 9), st.integers(0, 99))
def test_new_images_move_at_most_as_many_where_a_number_is_asked_for(
    old: set[str], new: set[str], number: int, seed: int
) -> None:
    layout = Folders(normal=("*",), train_number=number, seed=seed)
    before, after = layout.trained(old), layout.trained(old | new)
    assert len(after) == min(number, len(old | new))
    assert len(before - after) <= len(new - old)
    assert after & old <= before


def test_the_share_is_met_and_the_seed_matters() -> None:
    contents = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(4000)]
    first, second = (Folders(normal=("*",), train_share=0.7, seed=seed).trained(contents) for seed in (0, 1))
    assert len(first) == pytest.approx(2800, abs=120)
    assert len(first & second) == pytest.approx(0.49 * 4000, abs=150)


# what a layout refuses


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "neither normal nor train_normal"),
        ({"normal": ("/a/*",)}, "'/a/\\*' is no pattern"),
        ({"normal": ("{category}/*",), "anomalous": ("bad/*",)}, "'bad/\\*' has no part {category}"),
        ({"normal": ("{category}/*",), "category": "nut"}, "category is 'nut'.*drop one"),
        ({"normal": ("*",), "train_share": 1.0}, "train_share is 1.0"),
        ({"normal": ("*",), "train_number": 0}, "train_number is 0"),
        ({"normal": ("*",), "mask_threshold": 255}, "mask_threshold is 255"),
        ({"normal": ("*",), "mask": "{folder}/x.png"}, "mask is '{folder}/x.png': it is a path such as"),
        ({"normal": ("*",), "mask": "{parent"}, "mask is '{parent': it is a path such as"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        Folders(**settings)


# real images


def test_magnetic_tiles_are_read_as_they_were_published(shared_data: Path) -> None:
    layout = Folders(
        normal=("MT_Free/Imgs/*.jpg",), anomalous=("MT_{defect}/Imgs/*.jpg",), mask="{parent}/{stem}.png"
    )
    files = list(layout.files(Tree(shared_data / "magnetic_tile"), "magnetic_tile", ["magnetic_tile"]))
    kinds = [file.defect for file in files]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "good": 952, "Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Uneven": 103,
    }  # fmt: skip
    assert all(file.masks == (file.image_id.replace(".jpg", ".png"),) for file in files)
    uneven = Folders(
        normal=("MT_Fray/Imgs/*.jpg",), anomalous=("MT_{defect}neven/Imgs/*.jpg",), mask=layout.mask
    )
    manifest = read_manifest(Dataset(str(shared_data / "magnetic_tile"), "tiles", uneven))
    assert (
        sum(entry.mask_reason == "no pixel of the mask is above 127 of 255" for entry in manifest.test()) == 4
    )
