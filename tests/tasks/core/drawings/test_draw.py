import numpy as np
import pytest

from tasks.core.drawings.draw import CATEGORIES, draw, draw_pair

DEFECTS = [(category, kind) for category, kinds in CATEGORIES.items() for _, kind in kinds if kind != "good"]
every_defect = pytest.mark.parametrize(("category", "kind"), DEFECTS)
every_category = pytest.mark.parametrize("category", CATEGORIES)


def test_dataset_holds_one_texture_two_objects_and_all_kinds_of_defects() -> None:
    assert list(CATEGORIES) == ["fabric", "gear", "connector"]
    assert {kind for _, kind in DEFECTS} == {"bent", "chip", "missing", "scratch", "stain"}
    for kinds in CATEGORIES.values():
        assert 30 <= kinds["train", "good"] <= 60
        assert 8 <= kinds["test", "good"] <= 10
        assert {split for split, kind in kinds if kind != "good"} == {"test"}
        assert all(4 <= number <= 6 for (_, kind), number in kinds.items() if kind != "good")


@every_category
def test_good_drawing_is_an_image_with_an_empty_mask(category: str) -> None:
    for split in ("train", "test"):
        image, mask = draw(category, split, "good", 0)
        assert image.shape == (256, 256, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (256, 256)
        assert mask.dtype == np.bool_
        assert not mask.any()
        assert 40 < image.mean() < 215
        assert image.std() > 8


@every_defect
def test_defect_covers_a_sensible_area_of_the_centre_crop(category: str, kind: str) -> None:
    for number in range(CATEGORIES[category]["test", kind]):
        image, mask = draw(category, "test", kind, number)
        assert image.shape == (256, 256, 3)
        assert image.dtype == np.uint8
        assert mask.shape == (256, 256)
        assert mask.dtype == np.bool_
        assert 60 <= mask.sum() <= 0.1 * mask.size
        assert mask[16:240, 16:240].sum() >= 0.8 * mask.sum()


@every_defect
def test_mask_is_exactly_where_the_defect_changes_the_drawing(category: str, kind: str) -> None:
    for number in range(CATEGORIES[category]["test", kind]):
        clean, defective, mask = draw_pair(category, "test", kind, number)
        changed = (clean != defective).any(axis=2)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.95


@every_defect
def test_drawing_follows_from_its_arguments_alone(category: str, kind: str) -> None:
    image, mask = draw(category, "test", kind, 1, seed=5)
    draw(category, "train", "good", 0)
    again, mask_again = draw(category, "test", kind, 1, seed=5)
    assert np.array_equal(image, again)
    assert np.array_equal(mask, mask_again)


@every_category
def test_every_argument_changes_the_drawing(category: str) -> None:
    images = [
        draw(category, "train", "good", 0)[0],
        draw(category, "train", "good", 1)[0],
        draw(category, "test", "good", 0)[0],
        draw(category, "train", "good", 0, seed=1)[0],
    ]
    assert len({image.tobytes() for image in images}) == len(images)


@every_category
def test_good_drawings_of_both_splits_are_alike(category: str) -> None:
    train, test = (
        np.mean([draw(category, split, "good", number)[0].mean() for number in range(10)])
        for split in ("train", "test")
    )
    assert train == pytest.approx(test, rel=0.04)


def test_unknown_category_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'bottle'.*connector.*fabric.*gear"):
        draw("bottle", "test", "good", 0)


@pytest.mark.parametrize(("split", "kind"), [("test", "bent"), ("train", "stain"), ("night", "good")])
def test_unknown_kind_is_refused_with_the_known_ones(split: str, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"'{split}/{kind}'.*train/good.*test/scratch"):
        draw("fabric", split, kind, 0)
