"""Thresholds of a category at a false-positive rate that the user names, from normal images alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from storage.computed.held_out import read_held_out, write_held_out
from tasks.core.matching.retrieval import embedding_score
from tasks.core.metrics.conformal import check_rate, conformal_threshold, images_needed
from tasks.core.metrics.ranking import map_score
from tasks.new_images.normal_images import NormalImages
from tasks.progress import report

Rule = Literal["embedding", "map", "pixel"]
SAMPLE = 40  # training images whose maps are computed, at least, where there are so many
_BATCH = 8


@dataclass(frozen=True)
class Threshold:
    """A threshold, from the scores of `images` held-out images; without a value, why there is none."""

    rule: Rule
    rate: float
    value: float | None
    images: int
    reason: str | None = None


def threshold(normal: NormalImages, rule: Rule, rate: float, device: str = "cpu") -> Threshold:
    """The threshold of a score at a false-positive rate: a higher score counts as anomalous.

    Each training image is held out in turn and scored against the others, with its K nearest among them; the
    threshold is the conformal quantile of these scores. Test images take no part. Rule "embedding" holds out
    every training image, which costs little. "map", and "pixel", the highest value of a map, cost a matching
    an image: the first by SHA-256, which is as good as drawn, are held out, as many as the rate needs and at
    least `SAMPLE`. All scores are kept in the store: another rate computes those that it lacks.

    Assumption: new normal images come from where the training images came from, in no order that matters
    (exchangeable). That held-out images have one image less to be compared with makes their scores a little
    higher, and the threshold a little safer; a strict guarantee is given up for that: it would need images
    that the run never trained on. A drift of camera or light voids it; images of the same piece on both sides
    of the comparison, as in frames of a video, make it too low.

    Raises:
        ConfigurationError: no such rate.
    """
    check_rate(rate)
    needed, there = images_needed(rate), len(set(normal.keys))
    if needed > there or there < 2:
        reason = (
            f"a false-positive rate of {rate:g} needs {max(needed, 2)} normal images, and {normal.category} "
            f"has {there}"
        )
        if there > 1:
            reason += (
                f": name a rate of {math.ceil(10_000 / (there + 1)) / 10_000:g} or more, or add normal images"
            )
        return Threshold(rule, rate, None, there, reason)
    scores = held_out_scores(normal, rule, there if rule == "embedding" else max(needed, SAMPLE), device)
    return Threshold(rule, rate, conformal_threshold(scores, rate), len(scores))


def held_out_scores(normal: NormalImages, rule: Rule, count: int, device: str) -> list[float]:
    """Scores of the first `count` training images, at most all; what is kept is not computed."""
    first = {key: position for position, key in reversed(list(enumerate(normal.keys)))}
    keys = sorted(first)[:count]
    kept = read_held_out(normal.store, normal.score_key)
    missing = [key for key in keys if key not in kept.get(rule, {})]
    size = max(1, len(missing)) if rule == "embedding" else _BATCH
    for start in range(0, len(missing), size):
        batch = missing[start : start + size]
        for key in batch:
            for name, value in _held_out(normal, first[key], rule, device).items():
                kept.setdefault(name, {})[key] = value
        write_held_out(normal.store, normal.score_key, kept)
        report("calibrate", normal.category, len(keys) - len(missing) + start + len(batch), len(keys))
    return [kept[rule][key] for key in keys]


def _held_out(normal: NormalImages, position: int, rule: Rule, device: str) -> dict[str, float]:
    """The scores of one held-out image that come at one cost, by rule."""
    if rule == "embedding":
        squared, _ = normal.held_out_distances(position)
        return {rule: float(embedding_score(squared[None, : normal.settings.k_image])[0])}
    _, anomaly_map = normal.score_held_out(position, device)
    return {"map": map_score(anomaly_map), "pixel": float(anomaly_map.max())}
