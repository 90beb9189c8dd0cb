from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate, shift

from tasks.core.corruptions import KINDS, SEVERITIES, Corruption, corruptions
from tasks.core.errors import ConfigurationError

ALL = corruptions()


def picture(height: int = 60, width: int = 83, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colours with some of both ends of the range."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    smooth = gaussian_filter(noise, (3, 3, 0)) * 700 + 120
    values: NDArray[np.uint8] = np.clip(smooth, 0, 255).astype(np.uint8)
    return values


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_there_are_eight_in_five_severities() -> None:
    assert len(KINDS) == 8
    assert len(ALL) == len(set(ALL)) == 40
    assert all(len(kind.amounts) == len(SEVERITIES) for kind in KINDS.values())


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.sampled_from([(name, severity) for name in KINDS for severity in (1, 5)]),
    st.sampled_from(["a", "b"]),
)
def test_each_image_has_its_size_and_the_same_pixels_every_time(
    height: int, width: int, of: tuple[str, int], content: str
) -> None:
    image, corrupt = picture(height, width), Corruption(*of)
    before = image.copy()
    found = corrupt(image, content)
    assert found.shape == image.shape
    assert found.dtype == np.uint8
    assert np.array_equal(found, corrupt(image, content))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", KINDS)
def test_a_higher_severity_changes_more(name: str) -> None:
    image = picture(150, 200)
    changes = [
        np.mean([difference(image, Corruption(name, severity)(image, str(seed))) for seed in range(8)])
        for severity in SEVERITIES
    ]
    assert changes[0] > 0
    assert changes == sorted(changes)


def test_chance_is_seeded_by_content_corruption_and_severity() -> None:
    image, keys = picture(), {each.key(content) for each in ALL for content in ("a", "b")}
    assert len(keys) == 2 * len(ALL)
    for name in ("noise", "shift"):
        one, other = (Corruption(name, 3)(image, content) for content in ("a", "b"))
        assert not np.array_equal(one, other)


def test_noise_has_its_standard_deviation() -> None:
    image = np.full((100, 100, 3), 128, np.uint8)
    for severity, amount in zip(SEVERITIES, KINDS["noise"].amounts, strict=True):
        found = Corruption("noise", severity)(image, "x").astype(float) - 128
        assert found.std() == pytest.approx(amount, rel=0.02)
        assert abs(found.mean()) < amount / 50


def test_blur_is_a_gaussian_of_the_shorter_side() -> None:
    image = picture(200, 300)
    expected = gaussian_filter(image.astype(float), (3, 3, 0), mode="nearest")
    found = Corruption("blur", 5)(image, "x").astype(float)
    assert np.abs(found - expected)[12:-12, 12:-12].mean() < 1


def test_light_is_added_or_taken_and_contrast_shrinks_about_the_mean() -> None:
    image = picture().clip(60, 140)
    for content in "abcd":
        found = Corruption("brightness", 3)(image, content)
        assert any(
            np.array_equal(found, np.rint(image * np.float32(factor)).astype(np.uint8))
            for factor in (0.7, 1.3)
        )
    brighter = {
        bool(Corruption("brightness", 3)(image, content).mean() > image.mean()) for content in "abcdefgh"
    }
    assert brighter == {True, False}
    flat = Corruption("contrast", 5)(image, "x").astype(float)
    np.testing.assert_allclose(flat, image.mean() + 0.25 * (image - image.mean()), atol=0.51)


def test_images_are_moved_as_another_library_moves_them() -> None:
    image = picture(90, 90).astype(float)
    inside = (slice(20, 70), slice(20, 70))
    for content in "abcd":
        found = Corruption("rotation", 5)(image.astype(np.uint8), content)
        turned = [rotate(image, degrees, reshape=False, order=1) for degrees in (12, -12)]
        assert min(difference(each[inside].astype(np.uint8), found[inside]) for each in turned) < 1
    found = Corruption("shift", 5)(image.astype(np.uint8), "x")
    angles = np.linspace(0, 2 * np.pi, 180)
    moved = [shift(image, (9 * np.sin(a), 9 * np.cos(a), 0), order=1) for a in angles]
    assert min(difference(each[inside].astype(np.uint8), found[inside]) for each in moved) < 1


def test_scaling_keeps_the_centre_and_moves_the_rest() -> None:
    columns = np.tile(np.arange(200, dtype=np.uint8), (100, 1))
    image = np.repeat(columns[:, :, None], 3, axis=2)
    slopes = set()
    for content in "abcdefgh":
        found = Corruption("scale", 5)(image, content)[50, :, 0].astype(float)
        slopes.add(round(float(np.polyfit(np.arange(30, 170), found[30:170], 1)[0]), 2))
        assert found[99:101].mean() == pytest.approx(99.5, abs=1)
    assert slopes == {round(1 / 1.2, 2), 1.2}


def test_what_is_moved_in_is_mirrored_and_never_black() -> None:
    image = np.full((40, 400, 3), 200, np.uint8)
    for name in ("shift", "rotation", "scale"):
        for content in "abcd":
            assert (Corruption(name, 5)(image, content) == 200).all()


@pytest.mark.parametrize(
    ("names", "severities", "message"),
    [
        (["nose"], [], "corruption is 'nose': did you mean noise"),
        ([], [6], "severity is 6: it is a whole number, from 1 to 5"),
        ([], [0], "severity is 0: it is a whole number, from 1 to 5"),
    ],
)
def test_a_wrong_one_is_named(names: list[str], severities: list[int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        corruptions(names, severities)


def test_some_are_chosen() -> None:
    assert corruptions(["jpeg", "blur", "jpeg"], [5, 1]) == tuple(
        Corruption(name, severity) for name in ("blur", "jpeg") for severity in (1, 5)
    )


def test_the_documentation_has_the_amounts() -> None:
    page = (Path(__file__).parents[3] / "docs" / "evaluating.md").read_text("utf-8")
    for name, kind in KINDS.items():
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert line.split("|")[3].strip() == ", ".join(f"{amount:g}" for amount in kind.amounts)
