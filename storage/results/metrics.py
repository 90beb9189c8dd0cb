"""The metrics: one row each, from which columns, summaries, verdicts, screens, pages and plots are derived.

What computes them is found by `measure` in `tasks/core/metrics/ranking.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCORE_RULES = ("embedding", "map")
_RULES = {
    "embedding": (
        "",
        "scores: spade's are the mean of the K squared distances of embeddings (equation 2), other "
        "methods' are by their own rule",
    ),
    "map": (" (map)", "scores: mean of the highest 1 % of the anomaly map"),
}


@dataclass(frozen=True)
class Metric:
    """One metric of a category.

    Attributes:
        name: its column in the categories table.
        title: what people call it, in headings.
        measure: the name of what computes it.
        level: what is ranked, images or pixels.
        rule: image score that is ranked; None of a metric of pixels.
        meaning: what it is, in a phrase.
        convention: what definitions of it differ in, and what is done here.
        averaged: whether a mean over categories says anything.
        compared: whether runs and methods are compared by it; then it has an interval.
        shown: whether screens and pages have it.
    """

    name: str
    title: str
    measure: str
    level: Literal["image", "pixel"]
    rule: str | None
    meaning: str
    convention: str = ""
    averaged: bool = True
    compared: bool = False
    shown: bool = False

    @property
    def score(self) -> str:
        """The column of the image score that is ranked."""
        return f"score_{self.rule}"

    @property
    def interval(self) -> str:
        """How its interval is found, or why there is none."""
        if self.level == "image":
            return "DeLong over the test images, logit scale; null with fewer than two of a class"
        return "bootstrap over the test images; null where one kind has a single image"

    @property
    def low(self) -> str:
        """The column of the low end of its interval."""
        return f"{self.name}_low"

    @property
    def high(self) -> str:
        """The column of the high end of its interval."""
        return f"{self.name}_high"

    def reason(self, row: Mapping[str, Any]) -> str | None:
        """Why a row of the categories table lacks it, as far as the row says."""
        if row.get("status") != "ok":
            found = row.get("reason")
        elif self.level == "image":
            found = row.get("image_reason") or (row.get("map_reason") if self.rule == "map" else None)
        else:
            found = row.get("map_reason") or row.get("pixel_reason")
        return None if found is None else str(found)


def _image(measure: str, title: str, meaning: str, **more: Any) -> tuple[Metric, ...]:
    """A metric of images, by each of the image scores."""
    return tuple(
        Metric(
            f"image_{measure}_{rule}", f"image {title}{suffix}", measure, "image", rule,
            f"image level: {meaning}; {scores}", **more,
        )
        for rule, (suffix, scores) in _RULES.items()
    )  # fmt: skip


def _pixel(measure: str, title: str, meaning: str, **more: Any) -> Metric:
    return Metric(
        f"pixel_{measure}", f"pixel {title}", measure, "pixel", None, f"pixel level: {meaning}", **more
    )


_ROCAUC = "area under the ROC curve, ties counted half"
_AP = "average precision"
_F1 = "highest F1 over thresholds, chosen on the test set"
_AT = "score at and above which that F1 is reached"

METRICS: tuple[Metric, ...] = (
    *_image("rocauc", "ROCAUC", _ROCAUC, compared=True, shown=True),
    *_image("average_precision", "AP", _AP, convention="no interpolation"),
    *_image("f1_max", "F1-max", _F1),
    *_image("f1_max_threshold", "F1-max threshold", _AT, averaged=False),
    _pixel("rocauc", "ROCAUC", _ROCAUC, compared=True, shown=True),
    Metric(
        "pro",
        "PRO",
        "pro",
        "pixel",
        None,
        "per-region overlap integrated to a false-positive rate of 0.3, over 0.3",
        convention="8-connected regions; the rate over normal pixels of all test images, interpolated at 0.3",
        compared=True,
        shown=True,
    ),
    _pixel("average_precision", "AP", _AP, convention="no interpolation", shown=True),
    _pixel("f1_max", "F1-max", _F1),
    _pixel("f1_max_threshold", "F1-max threshold", _AT, averaged=False),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
AVERAGED = tuple(metric for metric in METRICS if metric.averaged)
COMPARED = tuple(metric for metric in METRICS if metric.compared)
SHOWN: Mapping[str, str] = {metric.name: metric.title for metric in METRICS if metric.shown}
