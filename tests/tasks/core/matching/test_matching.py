from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tasks.core.matching import matching
from tasks.core.matching.blocks import Frame, Searched
from tasks.core.matching.kept import KeptPyramid
from tasks.core.matching.matching import Frames, Matching, Pyramid, match, match_each, patch_scores
from tasks.core.matching.preparation import Preparation
from tasks.core.matching.pruned import PrunedSearch

SIZES = ((12, 20, 3), (6, 10, 5), (3, 5, 7))


def pyramid(
    rng: np.random.Generator, sizes: tuple[tuple[int, int, int], ...] = SIZES
) -> list[NDArray[np.float32]]:
    return [rng.normal(size=size).astype(np.float32) for size in sizes]


def bilinear_oracle(level: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Half-pixel centres, edges repeated: one position at a time."""
    rows, columns, channels = level.shape
    out = np.zeros((height, width, channels))
    for i, j in product(range(height), range(width)):
        y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
        x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
        top, left = int(y), int(x)
        below, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
        fy, fx = y - top, x - left
        upper = level[top, left] * (1 - fx) + level[top, right] * fx
        lower = level[below, left] * (1 - fx) + level[below, right] * fx
        out[i, j] = upper * (1 - fy) + lower * fy
    return out


def nearest_oracle(level: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    rows, columns, channels = level.shape
    out = np.zeros((height, width, channels))
    for i, j in product(range(height), range(width)):
        out[i, j] = level[i * rows // height, j * columns // width]
    return out


def match_oracle(
    query: NDArray[np.float64], gallery: list[NDArray[np.float64]], kappa: int
) -> NDArray[np.float64]:
    """Every patch against every patch of every image."""
    height, width, _ = query.shape
    out = np.zeros((height, width, kappa))
    for i, j in product(range(height), range(width)):
        distances = [
            float(((query[i, j] - image[a, b]) ** 2).sum())
            for image in gallery
            for a, b in product(range(image.shape[0]), range(image.shape[1]))
        ]
        out[i, j] = sorted(distances)[:kappa]
    return out


def concatenated(levels: Pyramid, upsampling: str) -> NDArray[np.float64]:
    upsample = bilinear_oracle if upsampling == "bilinear" else nearest_oracle
    height, width, _ = levels[0].shape
    return np.concatenate([upsample(level, height, width) for level in levels], axis=2)


@pytest.mark.parametrize("upsampling", ["bilinear", "nearest"])
@pytest.mark.parametrize("kappa", [1, 4])
def test_concatenated_levels_agree_with_plain_loops(upsampling: str, kappa: int) -> None:
    rng = np.random.default_rng(1)
    query, gallery = pyramid(rng), [pyramid(rng) for _ in range(3)]
    (found,) = match(query, gallery, fusion="concatenate", upsampling=upsampling, kappa=kappa)  # type: ignore[arg-type]
    expected = match_oracle(
        concatenated(query, upsampling), [concatenated(image, upsampling) for image in gallery], kappa
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kappa", [1, 4])
def test_levels_on_their_own_agree_with_plain_loops(kappa: int) -> None:
    rng = np.random.default_rng(2)
    query, gallery = pyramid(rng), [pyramid(rng) for _ in range(3)]
    found = match(query, gallery, fusion="average", kappa=kappa)
    assert len(found) == len(SIZES)
    for level, squared in enumerate(found):
        expected = match_oracle(
            query[level].astype(np.float64), [image[level].astype(np.float64) for image in gallery], kappa
        )
        np.testing.assert_allclose(squared, expected, rtol=1e-5)


@settings(max_examples=25)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 6),
    images=st.integers(1, 4),
    kappa=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_odd_size_agrees_with_plain_loops(
    height: int, width: int, channels: int, images: int, kappa: int, seed: int
) -> None:
    kappa = min(kappa, height * width)
    rng = np.random.default_rng(seed)
    query, *gallery = [pyramid(rng, ((height, width, channels),)) for _ in range(images + 1)]
    (found,) = match(query, gallery, kappa=kappa)
    expected = match_oracle(
        query[0].astype(np.float64), [image[0].astype(np.float64) for image in gallery], kappa
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=25)
@given(
    fine=st.tuples(st.integers(1, 11), st.integers(1, 11), st.integers(1, 4)),
    coarse=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)), min_size=1, max_size=2
    ),
    upsampling=st.sampled_from(["bilinear", "nearest"]),
    kappa=st.integers(1, 3),
    spread=st.sampled_from([0.01, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_pyramids_of_any_shape_agree_with_plain_loops(
    fine: tuple[int, int, int],
    coarse: list[tuple[int, int, int]],
    upsampling: str,
    kappa: int,
    spread: float,
    seed: int,
) -> None:
    """Grids that do not divide each other, and images that are close to each other, far from zero."""
    rng = np.random.default_rng(seed)
    sizes = (fine, *((min(h, fine[0]), min(w, fine[1]), c) for h, w, c in coarse))
    base = pyramid(rng, sizes)
    query, *gallery = [
        [
            (level + spread * noise).astype(np.float32)
            for level, noise in zip(base, pyramid(rng, sizes), strict=True)
        ]
        for _ in range(4)
    ]
    kappa = min(kappa, fine[0] * fine[1])
    (found,) = match(query, gallery, upsampling=upsampling, kappa=kappa)  # type: ignore[arg-type]
    expected = match_oracle(
        concatenated(query, upsampling), [concatenated(image, upsampling) for image in gallery], kappa
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


@settings(max_examples=25)
@given(
    coarsest=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    factors=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=2),
    kappa=st.integers(1, 4),
    spread=st.sampled_from([0.01, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_nested_pyramids_agree_with_plain_loops(
    coarsest: tuple[int, int], factors: list[tuple[int, int]], kappa: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = [(*coarsest, 4)]
    for rows, columns in factors:
        height, width, channels = sizes[0]
        sizes.insert(0, (height * rows, width * columns, channels - 1))
    base = pyramid(rng, tuple(sizes))
    query, *gallery = [
        [
            (level + spread * noise).astype(np.float32)
            for level, noise in zip(base, pyramid(rng, tuple(sizes)), strict=True)
        ]
        for _ in range(4)
    ]
    kappa = min(kappa, sizes[0][0] * sizes[0][1])
    (found,) = match(query, gallery, upsampling="nearest", kappa=kappa)
    expected = match_oracle(
        concatenated(query, "nearest"), [concatenated(image, "nearest") for image in gallery], kappa
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)


def test_more_queries_than_one_tile_agree_with_numpy() -> None:
    rng = np.random.default_rng(3)
    query, image = (
        rng.normal(size=(31, 41, 5)).astype(np.float32),
        rng.normal(size=(31, 41, 5)).astype(np.float32),
    )
    (found,) = match([query], [[image]])
    differences = query.reshape(-1, 1, 5).astype(np.float64) - image.reshape(1, -1, 5)
    np.testing.assert_allclose(found.ravel(), (differences**2).sum(axis=2).min(axis=1), rtol=1e-5)


def test_an_image_in_the_gallery_is_at_distance_zero_however_large_its_values() -> None:
    rng = np.random.default_rng(4)
    query = [(1000 + level).astype(np.float32) for level in pyramid(rng)]
    (found,) = match(query, [pyramid(rng), query, pyramid(rng)])
    assert (found == 0).all()


def test_half_precision_features_are_matched_in_single_precision() -> None:
    rng = np.random.default_rng(5)
    query, image = ([level.astype(np.float16) for level in pyramid(rng)] for _ in range(2))
    (found,) = match(query, [image])
    (expected,) = match(
        [level.astype(np.float32) for level in query], [[level.astype(np.float32) for level in image]]
    )
    np.testing.assert_array_equal(found, expected)


def test_a_larger_gallery_never_raises_a_distance() -> None:
    rng = np.random.default_rng(6)
    query, gallery = pyramid(rng), [pyramid(rng) for _ in range(4)]
    (few,) = match(query, gallery[:2], kappa=2)
    (more,) = match(query, gallery, kappa=2)
    assert (more <= few).all()


def test_a_gallery_is_read_one_image_at_a_time() -> None:
    rng = np.random.default_rng(7)
    alive: list[int] = []

    def images() -> object:
        for number in range(5):
            alive.append(number)
            yield pyramid(rng)

    (found,) = match(pyramid(rng), images())  # type: ignore[arg-type]
    assert alive == [0, 1, 2, 3, 4]
    assert found.shape == (12, 20, 1)


@settings(max_examples=25)
@given(
    finest=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    factor=st.integers(1, 3),
    matchings=st.lists(
        st.builds(
            Matching,
            levels=st.sampled_from([(0,), (1,), (0, 1)]),
            fusion=st.sampled_from(["concatenate", "average"]),
            upsampling=st.sampled_from(["bilinear", "nearest"]),
            kappa=st.integers(1, 4),
            images=st.integers(1, 6),
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_matchings_together_agree_with_plain_loops_and_with_each_alone(
    finest: tuple[int, int, int], factor: int, matchings: list[Matching], seed: int
) -> None:
    """Of 5 images in the gallery, the first ones; 6 is more than there are."""
    rng = np.random.default_rng(seed)
    height, width, channels = finest
    sizes = ((height * factor, width * factor, channels), (height, width, channels + 1))
    matchings = [replace(each, kappa=min(each.kappa, height * width)) for each in matchings]
    query, *gallery = [pyramid(rng, sizes) for _ in range(6)]
    for each, found in zip(matchings, match_each(query, gallery, matchings), strict=True):
        few = gallery[: each.images]
        alone = match(
            [query[level] for level in each.levels],
            [[image[level] for level in each.levels] for image in few],
            fusion=each.fusion,
            upsampling=each.upsampling,
            kappa=each.kappa,
        )
        parts = [[level] for level in each.levels] if each.fusion == "average" else [each.levels]
        assert len(found) == len(alone) == len(parts)
        for squared, same, part in zip(found, alone, parts, strict=True):
            np.testing.assert_array_equal(squared, same)
            fused = [concatenated([p[level] for level in part], each.upsampling) for p in (query, *few)]
            np.testing.assert_allclose(
                squared, match_oracle(fused[0], fused[1:], each.kappa), rtol=1e-4, atol=1e-6
            )


def test_matchings_share_what_they_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(10)
    search, made, offers = matching._search, [], []

    def counted(part: matching.Part, images: Sequence[Pyramid], kappa: int, *others: Any) -> object:
        found = search(part, images, kappa, *others)
        offer, channels = found.offer, sum(images[0][level].shape[2] for level in part.levels)
        made.append((channels, part.upsampling, kappa))

        def counted_offer(image: Any) -> None:
            offers.append(channels)
            offer(image)

        monkeypatch.setattr(found, "offer", counted_offer)
        return found

    monkeypatch.setattr(matching, "_search", counted)
    points = [
        Matching((0, 1, 2), "average", upsampling, kappa, images)  # type: ignore[arg-type]
        for upsampling, kappa, images in product(("bilinear", "nearest"), (1, 2), (1, 2, 4))
    ]
    points += [Matching((0, 1, 2), "concatenate", "nearest", 3, 2), Matching((2,), kappa=5, images=1)]
    match_each(pyramid(rng), [pyramid(rng) for _ in range(6)], points)
    assert sorted(made) == [(3, "bilinear", 2), (5, "bilinear", 2), (7, "bilinear", 5), (15, "nearest", 3)]
    assert sorted(offers) == [3] * 4 + [5] * 4 + [7] * 4 + [15] * 2


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("preparation", [Preparation(), Preparation(average=3, unit_levels=True)])
def test_queries_that_share_frames_and_images_find_what_each_finds_alone(
    monkeypatch: pytest.MonkeyPatch, preparation: Preparation, kind: type[np.floating[Any]]
) -> None:
    """And each image is made once in each frame."""
    rng = np.random.default_rng(11)
    made: list[Frame] = []
    frames: Frames = {}
    searched = Frame.searched

    def counted(frame: Frame, levels: Sequence[Tensor]) -> Searched:
        made.append(frame)
        return searched(frame, levels)

    queries, plain = (
        [[level.astype(kind) for level in pyramid(rng)] for _ in range(count)] for count in (3, 4)
    )
    matchings = [
        Matching((0, 1, 2), preparation=preparation),
        Matching((0,), kappa=2, preparation=preparation),
    ]
    expected = [match_each(query, plain, matchings) for query in queries]
    kept = [KeptPyramid(image) for image in plain]
    monkeypatch.setattr(Frame, "searched", counted)
    for query, alone in zip(queries, expected, strict=True):
        for found, same in zip(match_each(query, kept, matchings, frames=frames), alone, strict=True):
            np.testing.assert_array_equal(found, same)
    assert len(frames) == 2
    assert len(made) == 2 * (len(queries) + len(plain))


def test_an_empty_gallery_and_too_large_a_kappa_are_refused() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(ValueError, match="gallery is empty"):
        match(pyramid(rng), [])
    with pytest.raises(ValueError, match="kappa is 16: the coarsest grid matched has 15 patches"):
        match(pyramid(rng), [pyramid(rng)], fusion="average", kappa=16)
    with pytest.raises(ValueError, match="kappa is 241: the coarsest grid matched has 240 patches"):
        match(pyramid(rng), [pyramid(rng)], kappa=241)


def test_a_gallery_of_other_shapes_is_refused() -> None:
    rng = np.random.default_rng(9)
    with pytest.raises(ValueError, match="image 2 of the gallery has levels of other shapes"):
        match(pyramid(rng), [pyramid(rng), pyramid(rng)[:2]])


def test_scores_are_means_over_kappa_of_distances_or_their_squares() -> None:
    squared = np.array([[[4.0, 16.0]]], dtype=np.float32)
    assert patch_scores(squared, "squared") == 10
    assert patch_scores(squared, "euclidean") == 3


@pytest.mark.parametrize(("limit", "ahead"), [(1, 1), (2**28, 4)])
def test_a_frame_is_of_as_many_images_as_are_small_together(
    limit: int, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "_FIRST", 4)
    monkeypatch.setattr(matching, "_FIRST_BYTES", limit)
    rng = np.random.default_rng(11)
    images, events = [pyramid(rng) for _ in range(6)], []
    offer = PrunedSearch.offer

    def framed(of: Sequence[Any], upsampling: Any) -> Frame:
        events.append(f"a frame of {len(of)}")
        return Frame(of, upsampling)

    def offered(search: Any, image: Any) -> None:
        events.append("offered")
        offer(search, image)

    def read() -> Iterator[Pyramid]:
        for image in images:
            events.append("read")
            yield image

    monkeypatch.setattr(matching, "Frame", framed)
    monkeypatch.setattr(PrunedSearch, "offer", offered)
    points, query = [Matching((0, 1, 2))], pyramid(rng)
    ((found,),) = match_each(query, read(), points, frames={})
    first = [*["read"] * ahead, f"a frame of {1 + ahead}", *["offered"] * ahead]
    assert events == [*first, *["read", "offered"] * (6 - ahead)]
    np.testing.assert_array_equal(found, match(query, images)[0])
    assert events[len(first) + 2 * (6 - ahead)] == "a frame of 1"
