"""Of which images of a category each sPRO is, or why it is not defined."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from storage.datasets.layouts.saturation import CONFIG
from storage.datasets.manifest import ImageFile
from storage.results.metrics import SATURATED, Metric
from tasks.core.metrics.saturated import Defects, Saturated

_NOT_STATED = f"the dataset states of no defect which area of it is enough, in a {CONFIG}"


def saturated_measures(
    masks: Mapping[ImageFile, NDArray[np.bool_]], defects: Mapping[ImageFile, Defects | None]
) -> tuple[Saturated | None, dict[str, str]]:
    """What is asked for of these test images, if anything, and reasons by measure for what is not.

    `masks` (R, R) are as the metrics use them, `defects` those of each image, None where they are not stated.
    """
    if not any(image.mask_saturations for image in masks):
        return None, {metric.measure: _NOT_STATED for metric in SATURATED}
    known = {number: found for number, found in enumerate(defects.values()) if found is not None}
    images: dict[str, list[int]] = {}
    reasons: dict[str, str] = {}
    for metric in SATURATED:
        taken = {number: image for number, image in enumerate(masks) if _is_of(metric, image)}
        unknown = taken.keys() - known
        if unknown:
            reasons[metric.measure] = (
                f"of {len(unknown)} of {len(taken)} images a mask has a value that {CONFIG} does not list: "
                "null in the manifest's mask_saturations"
            )
        elif not any(known[number].masks for number in taken):
            kind = "" if metric.defect is None else f" of {metric.defect}"
            reasons[metric.measure] = f"no defect{kind} in a usable mask within the evaluated area"
        elif all(masks[image].all() for image in taken.values()):
            reasons[metric.measure] = "all pixels are anomalous: ranking needs both kinds"
        else:
            images[metric.measure] = [*taken]
    return Saturated(known, images), reasons


def _is_of(metric: Metric, image: ImageFile) -> bool:
    """Whether a test image has a part in a metric: the normal ones have one in each."""
    return not image.anomalous or metric.defect in (None, image.defect)
