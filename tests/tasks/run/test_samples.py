from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from storage.computed.scores import ImageScore
from storage.datasets.manifest import ImageFile
from tasks.run.samples import sample_level


@dataclass
class Kept:
    """Scores by key; the score by the map is the negative one, or there is none."""

    values: dict[str, float]
    has_map: bool = True

    def read(self, key: str) -> ImageScore:
        value = self.values[key]
        return ImageScore(key, value, -value if self.has_map else None, [], [])


def view(number: int, sample: str | None, *, anomalous: bool) -> ImageFile:
    return ImageFile("data", "nut", "test", f"{number}.png", str(number), anomalous=anomalous, sample=sample)


def test_the_highest_view_scores_and_one_anomalous_view_is_enough() -> None:
    rng = np.random.default_rng(3)
    images = [view(n, f"s{n % 12}", anomalous=n % 12 < 5 and n // 12 == 1) for n in range(36)]
    images += [view(36, None, anomalous=True), view(37, None, anomalous=False)]
    kept = Kept({image.key: float(rng.integers(0, 9)) for image in images})
    found: Any = sample_level(images, kept)  # type: ignore[arg-type]
    for column, sign in (("sample_rocauc_embedding", 1), ("sample_rocauc_map", -1)):
        pieces: dict[str, tuple[float, bool]] = {}
        for image in images:
            name = image.sample or image.image_id
            value, label = sign * kept.values[image.key], bool(image.anomalous)
            highest, any_label = pieces.get(name, (-99.0, False))
            pieces[name] = max(value, highest), label or any_label
        wins = [
            (high > low) + (high == low) / 2
            for high, bad in pieces.values()
            if bad
            for low, other in pieces.values()
            if not other
        ]
        assert found[column] == pytest.approx(sum(wins) / len(wins))


def test_without_a_map_there_is_none_by_the_map() -> None:
    images = [view(n, f"s{n % 2}", anomalous=n % 2 == 0) for n in range(4)]
    kept = Kept({image.key: float(image.anomalous or 0) for image in images}, has_map=False)
    assert sample_level(images, kept) == {"sample_rocauc_embedding": 1.0}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([], "each sample has one view"),
        ([view(0, "a", anomalous=True), view(1, None, anomalous=False)], "each sample has one view"),
        (
            [view(0, "a", anomalous=True), view(1, "a", anomalous=False)],
            "all samples of the test images are anomalous: ranking needs both kinds",
        ),
    ],
)
def test_why_there_is_none_is_said(images: list[ImageFile], reason: str) -> None:
    assert sample_level(images, Kept({})) == {"sample_reason": reason}  # type: ignore[arg-type]
