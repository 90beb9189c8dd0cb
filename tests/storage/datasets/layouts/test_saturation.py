"""What MVTec LOCO AD states of its defects, and how its masks are read."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from published import Painter, autovi, mvtec_loco, saturations
from tiny import write_image

from storage.datasets.dataset import Dataset, read_mask, read_masks
from storage.datasets.layouts.saturation import CONFIG
from storage.datasets.manifest import ImageFile, Manifest
from storage.datasets.scan import read_manifest
from storage.store.tables import parse_table, table_bytes

LOGICAL = "box/test/logical_anomalies/000.png"
MASKS = "box/ground_truth/logical_anomalies/000"
STATED = {255: (6, False), 250: (0.5, True), 234: (100, False)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Masks of 12 pixels each: two of one logical anomaly, one of a structural one."""
    mvtec_loco(tmp_path)
    return tmp_path


def manifest(root: Path, known: Manifest | None = None) -> Manifest:
    return read_manifest(Dataset.at(root).recognised(), known=known)


def shares(root: Path, known: Manifest | None = None) -> dict[str, tuple[float | None, ...]]:
    """Of the kinds of anomalies."""
    return {image.defect: image.mask_saturations for image in manifest(root, known).test() if image.anomalous}


def logical(root: Path) -> ImageFile:
    return next(image for image in manifest(root).files if image.image_id == LOGICAL)


def test_each_mask_has_the_share_that_its_value_states_and_at_most_all_of_it(root: Path) -> None:
    assert shares(root) == {"logical_anomalies": (0.5, 0.5), "structural_anomalies": (1.0,)}
    saturations(root / "box", STATED | {255: (3, False), 250: (0.25, True)})
    assert shares(root)["logical_anomalies"] == (0.25, 0.25)


def test_autovi_states_it_the_same_way(tmp_path: Path) -> None:
    autovi(tmp_path)
    assert shares(tmp_path) == {"missing": ()}
    saturations(tmp_path / "engine", {255: (0.75, True)})
    assert shares(tmp_path) == {"missing": (0.75, 0.75)}


@pytest.mark.parametrize("content", ["[]", None])
def test_where_nothing_is_stated_no_mask_has_a_share_and_nothing_is_set_aside(
    root: Path, content: str | None
) -> None:
    (root / "box" / CONFIG).unlink()
    if content is not None:
        (root / "box" / CONFIG).write_text(content)
    assert shares(root) == {"logical_anomalies": (), "structural_anomalies": ()}
    assert not manifest(root).excluded()
    assert " saturated " not in logical(root).mask_key


ENTRY = '{"pixel_value": %s, "saturation_threshold": %s, "relative_saturation": %s}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Invalid JSON"),
        ("{}", "valid array"),
        ('[{"pixel_value": 255}]', "0.saturation_threshold: Field required"),
        (f"[{ENTRY % (255, -3, 'false')}]", "0.saturation_threshold: Input should be greater than 0"),
        (f"[{ENTRY % (255, 'NaN', 'false')}]", "0.saturation_threshold"),
        (f"[{ENTRY % (0, 3, 'false')}]", "0.pixel_value: Input should be greater than or equal to 1"),
        (f"[{ENTRY % (255, 3, '1')}]", "0.relative_saturation: Input should be a valid boolean"),
        (f"[{ENTRY % (255, 3, 'false')}, {ENTRY % (255, 4, 'false')}]", "two have the pixel_value 255"),
        ("", "Invalid JSON"),
    ],
)
def test_a_broken_file_is_set_aside_with_its_reason(root: Path, content: str, reason: str) -> None:
    (root / "box" / CONFIG).write_text(content)
    (found,) = manifest(root).excluded()
    assert found.image_id == f"box/{CONFIG}"
    assert reason in (found.reason or "")
    assert "\n" not in (found.reason or "")
    assert logical(root).mask_saturations == ()
    assert read_mask(Dataset.at(root).recognised(), logical(root)).sum() == 24


def test_a_value_that_is_not_listed_or_several_have_no_share_and_an_empty_mask_is_no_defect(
    root: Path,
) -> None:
    saturations(root / "box", {255: (6, False)})
    assert shares(root) == {"logical_anomalies": (0.5, None), "structural_anomalies": (None,)}
    saturations(root / "box", STATED)
    mixed = np.zeros((24, 27), np.uint8)
    mixed[3, 3:9], mixed[4, 3:9] = 255, 250
    write_image(root / MASKS / "000.png", mixed)
    write_image(root / MASKS / "001.png", np.zeros((24, 27), np.uint8))
    assert shares(root)["logical_anomalies"] == (None, 1.0)


def test_every_value_of_a_mask_but_0_counts_whatever_others_of_the_category_hold(root: Path) -> None:
    Painter(root).mask(f"{MASKS}/002.png", value=1, top=18)
    saturations(root / "box", STATED | {1: (4, False)})
    image, dataset = logical(root), Dataset.at(root).recognised()
    assert (image.mask_peak, image.mask_threshold, image.mask_saturations) == (255, 0, (0.5, 0.5, 4 / 12))
    assert read_mask(dataset, image).sum() == 36
    apart = read_masks(dataset, image)
    assert [int(mask.sum()) for mask in apart] == [12, 12, 12]
    np.testing.assert_array_equal(np.any(apart, axis=0), read_mask(dataset, image))


def test_another_statement_is_another_mask_though_no_mask_changed(root: Path) -> None:
    for path in root.rglob("*.png"):
        os.utime(path, ns=(0, 10**18))
    known = manifest(root)
    saturations(root / "box", STATED | {250: (0.75, True)})
    os.utime(root / "box" / CONFIG, ns=(0, 10**18 + 1))
    assert shares(root, known)["logical_anomalies"] == (0.5, 0.75)
    after = manifest(root, known)
    assert after.digest() != known.digest()
    (root / "box" / CONFIG).unlink()
    assert shares(root, after)["logical_anomalies"] == ()
    assert manifest(root, after) == manifest(root)


def test_a_manifest_of_before_states_nothing_and_is_completed(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, ns=(0, 10**18))
    now = manifest(root)
    table = now.table().drop_columns(["mask_saturations"])
    before = Manifest.from_table(parse_table(table_bytes(table)))
    assert [image.mask_saturations for image in before.files] == [()] * len(now.files)
    old = [replace(image, mask_stamp=_of_masks(image)) for image in before.files]
    assert manifest(root, Manifest(before.dataset, tuple(old))) == now


def _of_masks(image: ImageFile) -> str | None:
    """The stamps of the masks alone, without that of the statement."""
    stamps = (image.mask_stamp or "").split(" ")
    return " ".join(stamps[: len(image.masks) * len(stamps) // (len(image.masks) + 1)]) or None
