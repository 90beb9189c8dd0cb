"""The metrics: one row each, from which columns, summaries, verdicts, screens, pages and plots are derived.

What computes them is found by `measure` in `tasks/core/metrics/ranking.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SCORE_RULES: Mapping[str, str] = {
    "embedding": "spade's are the mean of the K squared distances of embeddings (equation 2), other methods' "
    "are by their own rule",
    "map": "mean of the highest 1 % of the anomaly map",
}


@dataclass(frozen=True)
class Metric:
    """One metric of a category.

    Attributes:
        name: its column in the categories table.
        title: what people call it, in headings.
        measure: the name of what computes it.
        level: what is ranked: images, pixels, or samples, of which each has several views.
        rule: image score that is ranked; None of a metric of pixels.
        meaning: what it is, in a phrase.
        convention: what definitions of it differ in, and what is done here.
        source: where it is defined.
        averaged: whether a mean over categories says anything.
        compared: whether runs and methods are compared by it; then it has an interval.
        gated: whether a run is held to it where nothing else is said.
        by_image: whether each anomalous image has a value of it; it is their mean.
        saturated: whether of a defect no more has to be found than its dataset states.
        defect: the kind of defect whose images, with the normal ones, it is of; None: of all.
        shown: whether screens and pages have it.
    """

    name: str
    title: str
    measure: str
    level: Literal["image", "pixel", "sample"]
    rule: str | None
    meaning: str
    convention: str
    source: str
    averaged: bool = True
    compared: bool = False
    gated: bool = False
    by_image: bool = False
    saturated: bool = False
    defect: str | None = None
    shown: bool = False

    @property
    def described(self) -> str:
        """What it is, with what it ranks."""
        if self.rule is None:
            return f"{self.level} level: {self.meaning}"
        return f"{self.level} level: {self.meaning}; scores: {SCORE_RULES[self.rule]}"

    @property
    def score(self) -> str:
        """The column of the image score that is ranked."""
        return f"score_{self.rule}"

    @property
    def interval(self) -> str:
        """How its interval is found where it is compared, and where it is null."""
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

    @property
    def own_reason(self) -> str:
        """The column that says why it is null where others of its level are not, of those of `EXCUSED`."""
        return f"{self.name}_reason"

    def reason(self, row: Mapping[str, Any]) -> str | None:
        """Why a row of the categories table lacks it, as far as the row says."""
        if row.get("status") != "ok":
            found = row.get("reason")
        elif self.level == "sample":
            found = row.get("image_reason") or row.get("sample_reason") or _without_map(self, row)
        elif self.level == "image":
            found = row.get("image_reason") or _without_map(self, row)
        else:
            found = row.get("map_reason") or row.get("pixel_reason") or row.get(self.own_reason)
        return None if found is None else str(found)


def _without_map(metric: Metric, row: Mapping[str, Any]) -> Any:
    """Why there is no map that the image scores of a metric are taken from."""
    return row.get("map_reason") if metric.rule == "map" else None


def _image(measure: str, title: str, meaning: str, **more: Any) -> tuple[Metric, ...]:
    """A metric of images, by each of the image scores."""
    return tuple(
        Metric(
            f"image_{measure}_{rule}",
            f"image {title}" if rule == "embedding" else f"image {title} ({rule})",
            measure,
            "image",
            rule,
            meaning,
            **more,
        )
        for rule in SCORE_RULES
    )


def _pixel(measure: str, title: str, meaning: str, **more: Any) -> Metric:
    return Metric(f"pixel_{measure}", f"pixel {title}", measure, "pixel", None, meaning, **more)


_ROCAUC = "area under the ROC curve"
_TIES = "ties count half; the scores as they are, neither clamped nor rescaled"
_HANLEY = "Hanley and McNeil, Radiology 143, 1982"
_AP = "average precision"
_STEPS = "precision times the gain in recall, summed over thresholds; no interpolation"
_PRECISION = "Manning et al., Introduction to Information Retrieval, 2008, section 8.4"
_F1 = "highest F1 over thresholds"
_AT = "score at and above which the highest F1 is reached"
_ON_TEST = "the threshold is chosen on the test set"
_RIJSBERGEN = "van Rijsbergen, Information Retrieval, 1979, chapter 7"
_PRESORTED = {
    "pg5": ("PG5", "share of normal images below a threshold that 5 % of the anomalous ones are below"),
    "pb5": ("PB5", "share of anomalous images at or above a threshold that 5 % of the normal ones reach"),
}
_AT_MOST = "at most 5 %, at a threshold that is a score, which is chosen on the test set; no interpolation"


def _pro(name: str, title: str, limit: float, source: str, **more: Any) -> Metric:
    return Metric(
        name,
        title,
        name,
        "pixel",
        None,
        f"per-region overlap integrated to a false-positive rate of {limit}, over {limit}",
        "8-connected regions; the rate over normal pixels of all test images; every threshold counts, "
        f"interpolated at {limit}",
        source,
        compared=True,
        shown=True,
        **more,
    )


def _spro(kind: str | None = None) -> Metric:
    """The sPRO of all images, or of the normal ones and those of a kind of anomalies of MVTec LOCO AD."""
    convention = (
        "each mask file is a defect, found by the share min(overlap / saturation area, 1), the mean over "
        "defects; that area is as defects_config.json states, at most the mask's, and scaled with the mask "
        "to the map's grid; a defect outside the evaluated area does not count; the rate over normal pixels "
        "of all test images; every threshold counts, interpolated at 0.05; null where a mask's saturation is "
        "not stated; no interval"
    )
    return Metric(
        "spro_05" if kind is None else f"spro_05_{kind}",
        "sPRO at 0.05" if kind is None else f"sPRO at 0.05 ({kind})",
        "spro_05" if kind is None else f"spro_05_{kind}",
        "pixel",
        None,
        "per-region overlap, of which no more counts than a defect's saturation area, integrated to a "
        "false-positive rate of 0.05, over 0.05"
        + ("" if kind is None else f"; of normal images and {kind} anomalies alone"),
        convention if kind is None else "as of all images; the rate over normal pixels of these images",
        'Bergmann et al., "Beyond Dents and Scratches", IJCV 130, 2022',
        saturated=True,
        defect=None if kind is None else f"{kind}_anomalies",
    )


METRICS: tuple[Metric, ...] = (
    *_image(
        "rocauc", "ROCAUC", _ROCAUC, convention=_TIES, source=_HANLEY, compared=True, gated=True, shown=True
    ),
    *_image("average_precision", "AP", _AP, convention=_STEPS, source=_PRECISION),
    *_image("f1_max", "F1-max", _F1, convention=_ON_TEST, source=_RIJSBERGEN),
    *_image(
        "f1_max_threshold", "F1-max threshold", _AT, convention=_ON_TEST, source=_RIJSBERGEN, averaged=False
    ),
    *(
        metric
        for measure, (title, meaning) in _PRESORTED.items()
        for metric in _image(measure, title, meaning, convention=_AT_MOST, source="arXiv 2503.23451")
    ),
    *(
        Metric(
            f"sample_rocauc_{rule}",
            "sample ROCAUC" if rule == "embedding" else f"sample ROCAUC ({rule})",
            "rocauc",
            "sample",
            rule,
            _ROCAUC,
            "the score of a sample is the highest of its views, and it is anomalous if one of them is; null "
            f"where no sample has several views; {_TIES}",
            "Wang et al., Real-IAD, CVPR 2024",
        )
        for rule in SCORE_RULES
    ),
    _pixel(
        "rocauc", "ROCAUC", _ROCAUC, convention=_TIES, source=_HANLEY, compared=True, gated=True, shown=True
    ),
    _pro("pro", "PRO", 0.3, "Bergmann et al., IJCV 129, 2021", gated=True),
    _pro("pro_05", "PRO at 0.05", 0.05, "MVTec AD 2, arXiv 2503.21622"),
    *map(_spro, (None, "logical", "structural")),
    Metric(
        "aupimo",
        "AUPIMO",
        "aupimo",
        "pixel",
        None,
        "recall of an image's anomalous pixels, averaged over log false-positive rates from 1e-5 to 1e-4; "
        "the mean over anomalous images",
        "the rate over pixels of images without an anomalous pixel in the evaluated area; the recall at a "
        "rate is that of the lowest threshold within it, no interpolation; null with fewer than 10000 such "
        "pixels",
        "Bertoldo et al., BMVC 2024, arXiv 2401.01984",
        compared=True,
        by_image=True,
        shown=True,
    ),
    _pixel("average_precision", "AP", _AP, convention=_STEPS, source=_PRECISION, shown=True),
    _pixel("f1_max", "F1-max", _F1, convention=_ON_TEST, source=_RIJSBERGEN),
    _pixel(
        "f1_max_threshold", "F1-max threshold", _AT, convention=_ON_TEST, source=_RIJSBERGEN, averaged=False
    ),
    _pixel(
        "iou_max",
        "IoU-max",
        "highest intersection over union over thresholds",
        convention="of the pixels of all test images at once, not a mean over images; " + _ON_TEST,
        source="Jaccard, New Phytologist 11, 1912",
    ),
)
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}
AVERAGED = tuple(metric for metric in METRICS if metric.averaged)
COMPARED = tuple(metric for metric in METRICS if metric.compared)
SAMPLED = tuple(metric for metric in METRICS if metric.level == "sample")
BY_IMAGE = tuple(metric for metric in METRICS if metric.by_image)
SATURATED = tuple(metric for metric in METRICS if metric.saturated)
EXCUSED = (*BY_IMAGE, *SATURATED)  # may be null where others of their level are not
OCCASIONAL = (*SAMPLED, *SATURATED)  # of few datasets: shown where a category has them
SHOWN: Mapping[str, str] = {metric.name: metric.title for metric in METRICS if metric.shown}


def default_gate(tolerance: float) -> dict[str, float]:
    """What a run is held to where nothing else is said: the loss of each metric that is none."""
    return {metric.name: tolerance for metric in METRICS if metric.gated}
