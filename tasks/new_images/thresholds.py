"""Thresholds of a category at a false-positive rate that the user names, from normal images alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from storage.computed.held_out import read_held_out, write_held_out
from tasks.core.errors import ConfigurationError
from tasks.core.metrics.conformal import check_rate, conformal_threshold, images_needed
from tasks.methods.scoring import Scoring
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


def threshold(scoring: Scoring, rule: Rule, rate: float) -> Threshold:
    """The threshold of a score at a false-positive rate: a higher score counts as anomalous.

    Training images are held out and scored as if the method had not seen them; the threshold is the conformal
    quantile of these scores. Test images take no part. Where the nearest training images alone matter, each
    image is compared with all others, which for rule "embedding" costs little and is done for all. Otherwise
    a map or a fit is computed for it: the first images by SHA-256, which is as good as drawn, are held out,
    as many as the rate needs and at least `SAMPLE`. All scores are kept in the store: another rate computes
    those that it lacks. Rule "pixel" is the highest value of a map.

    Assumption: new normal images come from where the training images came from, in no order that matters
    (exchangeable). That held-out images have fewer images to be compared with makes their scores a little
    higher, and the threshold a little safer; a strict guarantee is given up for that: it would need images
    that the run never trained on. A drift of camera or light voids it; images of the same piece on both sides
    of the comparison, as in frames of a video, make it too low.

    Raises:
        ConfigurationError: no such rate, or the method has no map to take the rule from.
    """
    check_rate(rate)
    if rule != "embedding" and not scoring.method.has_map:
        raise ConfigurationError(
            f"rule is {rule!r}: method {scoring.method.label} scores whole images, without a map: "
            "use embedding"
        )
    needed, there = images_needed(rate), len(set(scoring.part.train))
    if needed > there or there < 2:
        reason = (
            f"a false-positive rate of {rate:g} needs {max(needed, 2)} normal images, and "
            f"{scoring.part.category} has {there}"
        )
        if there > 1:
            reason += (
                f": name a rate of {math.ceil(10_000 / (there + 1)) / 10_000:g} or more, or add normal images"
            )
        return Threshold(rule, rate, None, there, reason)
    settled = scoring.settled
    cheap = rule == "embedding" and settled.depends_on_neighbors_alone and not settled.image_reads
    scores = held_out_scores(scoring, rule, there if cheap else max(needed, SAMPLE))
    return Threshold(rule, rate, conformal_threshold(scores, rate), len(scores))


def held_out_scores(scoring: Scoring, rule: Rule, count: int) -> list[float]:
    """Scores of the first `count` training images, at most all; what is kept is not computed."""
    part = scoring.part
    keys = sorted(set(part.train))[:count]
    kept = read_held_out(part.store, scoring.key)
    missing = [key for key in keys if key not in kept.get(rule, {})]
    with_maps = rule != "embedding"
    size = _BATCH if with_maps else max(1, len(missing))
    done = len(keys) - len(missing)
    for start in range(0, len(missing), size):
        batch = missing[start : start + size]
        _measure(scoring, batch, kept, with_maps=with_maps)
        write_held_out(part.store, scoring.key, kept)
        done += len(batch)
        report("calibrate", part.category, done, len(keys))
    return [kept[rule][key] for key in keys]


def _measure(
    scoring: Scoring, keys: Sequence[str], kept: dict[str, dict[str, float]], *, with_maps: bool
) -> None:
    """Add the scores of held-out images by every rule that comes at one cost."""
    for record, anomaly_map in scoring.held_out(keys, maps=with_maps):
        found: dict[str, float] = {"embedding": record.score_embedding}
        if anomaly_map is not None and record.score_map is not None:
            found |= {"map": record.score_map, "pixel": float(anomaly_map.max())}
        for name, value in found.items():
            kept.setdefault(name, {})[record.sha256] = value
