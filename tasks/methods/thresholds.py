"""Thresholds of a category at a false-positive rate that the user names, from normal images alone.

No anomalous image has a part in them: see `threshold`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from storage.computed.held_out import read_held_out, write_held_out
from storage.errors import StoreError
from tasks.core.batches import batches
from tasks.core.errors import ConfigurationError
from tasks.core.metrics.conformal import check_rate, conformal_threshold, images_needed
from tasks.methods.scoring import Scoring
from tasks.progress import report

Rule = Literal["embedding", "map", "pixel"]
Source = Literal["validation", "held-out training images"]
VALIDATION: Source = "validation"
HELD_OUT: Source = "held-out training images"
SAMPLE = 40  # training images whose maps are computed, at least, where there are so many
_BATCH = 8


@dataclass(frozen=True)
class Threshold:
    """A threshold above which a score counts as anomalous.

    Attributes:
        rule: the score.
        rate: false-positive rate that was asked for.
        value: the threshold; None where there is none.
        images: how many normal images it is from.
        reason: why there is none.
        source: which images these are.
        scores: theirs, in no order.
    """

    rule: Rule
    rate: float
    value: float | None
    images: int
    reason: str | None = None
    source: Source = HELD_OUT
    scores: tuple[float, ...] = field(default=(), repr=False)

    def about(self) -> dict[str, Any]:
        """All but the scores, by name."""
        return {name: value for name, value in vars(self).items() if name != "scores"}


def threshold(scoring: Scoring, rule: Rule, rate: float) -> Threshold:
    """The threshold of a score at a false-positive rate: a higher score counts as anomalous.

    Where the dataset has normal images to validate, as many as the rate needs, the threshold is the conformal
    quantile of their scores, and holds strictly. Elsewhere training images are held out and scored as if the
    method had not seen them, and it is the quantile of these. Test images take no part. Where the nearest
    training images alone matter, each image is compared with all others, which for rule "embedding" costs
    little and is done for all. Otherwise a map or a fit is computed for it: the first images by SHA-256,
    which is as good as drawn, are held out, as many as the rate needs and at least `SAMPLE`. All scores are
    kept in the store: another rate computes those that it lacks. Rule "pixel" is the highest value of a map.

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
    part = scoring.part
    needed = max(images_needed(rate), 2)
    source, there = HELD_OUT, len(set(part.train))
    if len(part.validation) >= needed:
        source, there = VALIDATION, len(part.validation)
    if (refusal := scoring.refusal()) is not None:
        return Threshold(rule, rate, None, there, refusal, source)
    if needed > there:
        reason = (
            f"a false-positive rate of {rate:g} needs {needed} normal images, and {part.category} has {there}"
        )
        if there > 1:
            reason += (
                f": name a rate of {math.ceil(10_000 / (there + 1)) / 10_000:g} or more, or add normal images"
            )
        return Threshold(rule, rate, None, there, reason, source)
    if source == VALIDATION:
        scores = validation_scores(scoring, rule)
        return Threshold(rule, rate, conformal_threshold(scores, rate), there, None, source, tuple(scores))
    settled = scoring.settled
    cheap = rule == "embedding" and settled.depends_on_neighbors_alone and not settled.image_reads
    scores = held_out_scores(scoring, rule, there if cheap else max(needed, SAMPLE))
    return Threshold(rule, rate, conformal_threshold(scores, rate), len(scores), None, source, tuple(scores))


def validation_scores(scoring: Scoring, rule: Rule) -> list[float]:
    """Scores of the images to validate, as the run has them.

    Raises:
        StoreError: they are no longer in the store.
    """
    scores, keys = scoring.scores, scoring.part.validation
    if scores.missing(keys):
        raise StoreError(
            f"scores of the validation images of {scoring.part.category} are no longer in "
            f"{scoring.part.store.root}: evaluate the dataset again"
        )
    if rule == "pixel":
        return [float(scores.anomaly_map(key).max()) for key in keys]
    return [getattr(scores.read(key), f"score_{rule}") for key in keys]


def held_out_scores(scoring: Scoring, rule: Rule, count: int) -> list[float]:
    """Scores of the first `count` training images, at most all; what is kept is not computed."""
    part = scoring.part
    keys = sorted(set(part.train))[:count]
    kept = read_held_out(part.store, scoring.key)
    missing = [key for key in keys if key not in kept.get(rule, {})]
    with_maps = rule != "embedding"
    size = _BATCH if with_maps else max(1, len(missing))
    done = len(keys) - len(missing)
    for batch in batches(missing, size):
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
