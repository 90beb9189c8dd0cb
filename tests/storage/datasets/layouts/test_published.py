"""Every layout that a dataset was published in, on a small copy of it."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from published import COPIES, Held, Painter, coco, kolektor_sdd
from tampering import copy

from storage.datasets.dataset import Dataset, read_image, read_mask
from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.known import LAYOUTS, MVTEC, recognise
from storage.datasets.layouts.kolektor import KolektorSdd
from storage.datasets.manifest import Manifest
from storage.datasets.scan import read_manifest
from storage.datasets.tree import Tree
from storage.errors import DatasetError
from storage.store.location import location

UNRECOGNISED = {"mvtec", "mpdd"}  # MVTec AD's layout is what is taken where none is recognised


def draw(kind: str, tmp_path: Path) -> tuple[Dataset, dict[str, Held]]:
    root = tmp_path / "parts"
    root.mkdir()
    held = COPIES[kind](root)
    return Dataset.at(root, LAYOUTS[kind]()), held


def test_every_layout_but_patterns_has_a_copy() -> None:
    assert set(COPIES) == set(LAYOUTS) - {"folders"}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_read_with_its_counts_and_masks(kind: str, tmp_path: Path) -> None:
    dataset, held = draw(kind, tmp_path)
    manifest = read_manifest(dataset)
    assert manifest.categories() == sorted(held)
    for category, expected in held.items():
        part = manifest.of(category)
        part.check()
        divided = kind == "kolektor_sdd"  # by their content
        normal = len(part.train()) + sum(not image.anomalous for image in part.test())
        assert normal == expected.train + expected.good
        assert divided or len(part.train()) == expected.train
        assert Counter(i.defect for i in part.test() if i.anomalous) == expected.defects
        assert len(part.validation()) == expected.validation
        assert [i.anomalous for i in part.unlabelled()] == [None] * expected.unlabelled
        assert len(part.excluded()) == expected.set_aside
        assert len({i.sample for i in part.files} - {None}) == expected.samples
        assert {i.reason for i in part.excluded()} <= {"a defect among the training images"}
        for image in part.test():
            assert image.mask_reason is None
            assert read_image(dataset, image).shape == (image.height, image.width, 3)
            if image.anomalous:
                assert read_mask(dataset, image).sum() == expected.pixels[image.image_id]
            elif image.masks:
                assert not read_mask(dataset, image).any()


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_recognised_beyond_doubt(kind: str, tmp_path: Path) -> None:
    dataset, _ = draw(kind, tmp_path)
    found = [name for name, layout in LAYOUTS.items() if layout.recognises(Tree(dataset.folder))]
    assert found == ([] if kind in UNRECOGNISED else [kind])
    expected = MVTEC if kind in UNRECOGNISED else dataset.layout
    assert Dataset.at(dataset.root).recognised().layout == expected


def test_a_folder_of_two_layouts_is_in_doubt(tmp_path: Path) -> None:
    for kind in ("dagm", "btad"):
        COPIES[kind](tmp_path)
    assert recognise(Tree(tmp_path)) is None


@pytest.mark.parametrize("kind", COPIES)
def test_the_second_night_reads_no_image_and_no_mask(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = draw(kind, tmp_path)
    for path in Path(dataset.folder).rglob("*"):
        os.utime(str(path), ns=(0, 10**18))
    known = Manifest.from_table(read_manifest(dataset).table())
    monkeypatch.delattr("storage.datasets.scan.read_content")
    assert read_manifest(dataset, known=known) == known


@pytest.mark.parametrize("kind", COPIES)
def test_another_layout_says_what_it_expects(kind: str, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(DatasetError, match=r"expected|name one as|lacks columns|cannot be read"):
        read_manifest(Dataset.at(tmp_path, LAYOUTS[kind]()))


@pytest.mark.parametrize("kind", ["visa", "mvtec_ad_2", "coco", "kolektor_sdd2"])
def test_a_bucket_has_the_manifest_of_the_folder(kind: str, tmp_path: Path, bucket: str) -> None:
    dataset, _ = draw(kind, tmp_path)
    copy(Path(dataset.root), location(f"{bucket}/parts"))
    remote = Dataset.at(f"{bucket}/parts").recognised()
    assert remote == Dataset.at(f"{bucket}/parts", dataset.layout)
    manifest = read_manifest(remote)
    assert manifest == read_manifest(dataset)
    for image in manifest.test():
        if image.anomalous:
            np.testing.assert_array_equal(read_mask(remote, image), read_mask(dataset, image))


def test_annotations_that_cannot_be_drawn_cost_no_image(tmp_path: Path) -> None:
    coco(tmp_path)
    path = tmp_path / "annotations/instances_val2017.json"
    path.write_text(path.read_text().replace('"counts": [10', '"counts": [11'))
    reasons = [image.mask_reason or "" for image in read_manifest(Dataset.at(tmp_path).recognised()).test()]
    assert len(reasons) == 2
    assert all("runs of 649 pixels in an image of 648" in reason for reason in reasons)


def test_a_fold_tests_its_folders_and_trains_with_the_normal_images_of_the_others(tmp_path: Path) -> None:
    kolektor_sdd(tmp_path)  # kos00 to kos03, two parts each, Part0 of the first two defective
    tested = {}
    for fold in (1, 2, 3):
        manifest = read_manifest(Dataset.at(tmp_path, KolektorSdd(fold=fold)))
        tested[fold] = {image.image_id.split("/")[0] for image in manifest.test()}
        assert len(manifest.test()) == 2 * len(tested[fold])
        assert {image.reason for image in manifest.excluded()} <= {"a defect among the training images"}
        assert not {image.image_id.split("/")[0] for image in manifest.train()} & tested[fold]
    assert tested == {1: {"kos00", "kos03"}, 2: {"kos01"}, 3: {"kos02"}}
    named = read_manifest(Dataset.at(tmp_path, KolektorSdd(test_folders=("kos01", "kos02"))))
    assert {image.image_id.split("/")[0] for image in named.test()} == {"kos01", "kos02"}
    assert [image.image_id for image in named.excluded()] == ["kos00/Part0.jpg"]
    with pytest.raises(DatasetError, match=r"test_folders has 'kos9': it is one of kos00, kos01"):
        read_manifest(Dataset.at(tmp_path, KolektorSdd(test_folders=("kos9",))))
    with pytest.raises(DatasetError, match="fold is 1, and test_folders are named: drop one"):
        KolektorSdd(fold=1, test_folders=("kos01",))


def test_views_of_a_sample_are_found_by_a_column_or_a_part_of_a_name(tmp_path: Path) -> None:
    paint = Painter(tmp_path)
    rows = [
        (f"{folder}/{n}-{view}.png", "train" if folder == "ok" else "test", folder, n)
        for folder in ("ok", "bad")
        for n in "ab"
        for view in "12"
    ]
    paint.image(*(row[0] for row in rows))
    lines = ["image,split,label,sample", *(",".join(row) for row in rows)]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    layout = Folders(train_normal=("ok/{sample}-?.png",), anomalous=("bad/{sample}-?.png",))
    for described in (LAYOUTS["table"](), layout):
        manifest = read_manifest(Dataset.at(tmp_path, described))
        assert [(image.image_id, image.sample) for image in manifest.test()] == [
            *(("bad/a-1.png", "a"), ("bad/a-2.png", "a"), ("bad/b-1.png", "b"), ("bad/b-2.png", "b")),
        ]


@pytest.mark.parametrize("kind", ["mvtec", "visa", "kolektor_sdd"])
def test_a_threshold_may_be_named_with_any_layout(kind: str, tmp_path: Path) -> None:
    dataset, _ = draw(kind, tmp_path)
    high = Dataset.at(dataset.root, LAYOUTS[kind](mask_threshold=254))
    assert {image.mask_threshold for image in read_manifest(high).files} <= {254, None}
    with pytest.raises(DatasetError, match="mask_threshold is 255: it is a number from 0 to 254"):
        LAYOUTS[kind](mask_threshold=255)
