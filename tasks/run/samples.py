"""Metrics of samples, each photographed from several sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from storage.computed.scores import Scores
from storage.datasets.manifest import ImageFile
from storage.results.metrics import SAMPLED
from tasks.core.metrics.ranking import image_metrics


def sample_level(test: Sequence[ImageFile], scores: Scores) -> dict[str, Any]:
    """The metrics of the samples of labelled test images, or why there are none.

    The score of a sample is the highest of its views, and it is anomalous if one of them is. An image without
    a sample is one of its own.
    """
    views: dict[tuple[str | None, str], list[ImageFile]] = {}
    for image in test:
        views.setdefault((image.sample, "" if image.sample else image.image_id), []).append(image)
    if len(views) == len(test):
        return {"sample_reason": "each sample has one view"}
    anomalous = np.array([any(image.anomalous for image in images) for images in views.values()])
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        return {"sample_reason": f"all samples of the test images are {kind}: ranking needs both kinds"}
    found = {}
    for metric in SAMPLED:
        values = [
            [getattr(scores.read(image.key), metric.score) for image in images] for images in views.values()
        ]
        if values[0][0] is not None:
            highest = np.array([max(of_sample) for of_sample in values])
            found[metric.name] = image_metrics(highest, anomalous)[metric.measure]
    return found
