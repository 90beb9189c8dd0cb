from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storage.datasets.layouts.saturation import CONFIG
from storage.datasets.manifest import ImageFile
from storage.results.metrics import SATURATED
from tasks.core.metrics.saturated import Defects
from tasks.run.saturated import saturated_measures

ALL, LOGICAL, STRUCTURAL = (metric.measure for metric in SATURATED)
CORNER = np.zeros((3, 4), dtype=bool)
CORNER[0, :2] = True


def image(name: str, kind: str, *saturations: float | None) -> ImageFile:
    masks = tuple(f"{name}/{number}.png" for number in range(len(saturations)))
    anomalous = kind != "good"
    return ImageFile(
        "loco",
        "box",
        "test",
        name,
        anomalous=anomalous,
        defect=kind,
        masks=masks,
        mask_saturations=saturations,
    )


def measures(
    *found: tuple[ImageFile, NDArray[np.bool_], Defects | None],
) -> tuple[dict[str, list[int]], dict[str, str]]:
    masks = {image: mask for image, mask, _ in found}
    saturated, reasons = saturated_measures(masks, {image: defects for image, _, defects in found})
    return {} if saturated is None else {name: [*of] for name, of in saturated.images.items()}, reasons


GOOD = (image("0", "good"), CORNER & False, Defects())
ONE = (image("1", "logical_anomalies", 0.5), CORNER, Defects.of(CORNER, [CORNER], [0.5]))
OTHER = (image("2", "structural_anomalies", 0.5), CORNER, Defects.of(CORNER, [CORNER], [0.5]))
UNKNOWN = (image("3", "structural_anomalies", 0.5, None), CORNER, None)
OUTSIDE = (image("4", "structural_anomalies", 0.5), CORNER & False, Defects())
FULL = (image("5", "logical_anomalies", 1.0), CORNER | True, Defects.of(CORNER | True, [CORNER | True], [1]))


def test_each_is_of_the_normal_images_and_those_of_its_kind() -> None:
    assert measures(ONE, GOOD, OTHER) == ({ALL: [0, 1, 2], LOGICAL: [0, 1], STRUCTURAL: [1, 2]}, {})


def test_where_nothing_is_stated_none_is_asked_for() -> None:
    plain = (image("1", "logical_anomalies"), CORNER, None)
    images, reasons = measures(plain, GOOD)
    assert images == {}
    assert reasons.keys() == {ALL, LOGICAL, STRUCTURAL}
    assert all(CONFIG in reason for reason in reasons.values())


def test_a_mask_that_nothing_is_stated_of_costs_the_metrics_that_it_is_in() -> None:
    images, reasons = measures(GOOD, ONE, UNKNOWN)
    assert images == {LOGICAL: [0, 1]}
    assert reasons[ALL].startswith("of 1 of 3 images")
    assert reasons[STRUCTURAL].startswith("of 1 of 2 images")


def test_a_kind_without_a_defect_in_the_evaluated_area_has_a_reason() -> None:
    images, reasons = measures(GOOD, ONE, OUTSIDE)
    assert images == {ALL: [0, 1, 2], LOGICAL: [0, 1]}
    assert reasons == {
        STRUCTURAL: "no defect of structural_anomalies in a usable mask within the evaluated area"
    }


def test_a_kind_without_a_normal_pixel_has_a_reason() -> None:
    images, reasons = measures(FULL, OTHER)
    assert images == {ALL: [0, 1], STRUCTURAL: [1]}
    assert "all pixels are anomalous" in reasons[LOGICAL]
