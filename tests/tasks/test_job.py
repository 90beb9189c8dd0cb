from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from storage.computed.features import Features
from tasks.core.methods.neighbors import DN2
from tasks.job import Part


def test_what_is_set_aside_is_set_aside_in_the_part_from_now_on(part: Part) -> None:
    gone = part.manifest.train()[1]
    left = part.without({gone.image_id: "it is gone"})
    assert part.job.set_aside(["nut", "gear"]) == {gone.image_id: "it is gone"}
    for each in (left, part.job.part("nut"), left.of(replace(part.job, methods=(DN2(),)))):
        assert gone.key not in each.train
        assert len(each.train) == 5
        (image,) = each.manifest.excluded()
        assert (image.image_id, image.reason) == (gone.image_id, "it is gone")
    assert gone.key in part.train


def test_another_job_has_the_same_files_and_keeps_their_reasons_as_its_own(part: Part) -> None:
    gone = part.manifest.test()[0]
    other = replace(part.job, run_id="other")
    part.without({gone.image_id: "it is gone"}).of(other)
    assert other.set_aside(["nut"]) == {gone.image_id: "it is gone"}
    part.of(replace(part.job, run_id="third"))
    assert replace(part.job, run_id="third").set_aside(["nut"]) == {}


def test_training_images_held_out_are_the_test_images(part: Part) -> None:
    out = {part.train[1], part.train[4]}
    held = part.held_out(out)
    assert set(held.scored) == out
    assert held.train == [key for key in part.train if key not in out]


@pytest.mark.parametrize(("memory", "reads"), [(1e-9, 6), (1.0, 3)])
def test_pyramids_are_kept_as_far_as_they_fit_into_the_memory(
    part: Part, memory: float, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = part.of(replace(part.job, memory_gib=memory))
    pyramids = small.pyramids((8, 16))
    read: list[str] = []
    stored = type(small.features).pyramid

    def counted(self: object, key: str, levels: tuple[int, ...]) -> object:
        read.append(key)
        return stored(self, key, levels)  # type: ignore[arg-type]

    monkeypatch.setattr(type(small.features), "pyramid", counted)
    pyramids = small.pyramids((8, 16))
    probe = len(read)
    for key in small.train[:3] * 2:
        assert [level.shape[2] for level in pyramids(key)] == [128, 256]
    assert len(read) - probe == reads


@pytest.mark.parametrize("images", [0, 1, 2, 3, 100])
def test_with_the_pyramid_that_is_read_no_more_are_held_than_fit(
    part: Part, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = Features.pyramid
    size = sum(level.nbytes for level in part.features.pyramid(part.train[0], (8, 16)))
    read: list[weakref.ref[Any]] = []
    most = 0

    def counted(self: Features, key: str, levels: Sequence[int | str]) -> list[Any]:
        nonlocal most
        pyramid = stored(self, key, levels)
        read.append(weakref.ref(pyramid[0]))
        most = max(most, sum(each() is not None for each in read))
        return pyramid

    monkeypatch.setattr(Features, "pyramid", counted)
    pyramids = part.pyramids((8, 16), images * size)
    most = 0
    for key in part.train * 2:
        pyramids(key)
    assert most == min(max(images, 1), len(part.train))
