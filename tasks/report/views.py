"""What the pages of a category show, put together from tables and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from storage.datasets.layouts.file import GOOD, UNLABELLED
from storage.datasets.manifest import ImageFile
from storage.results.metrics import SCORE_RULES
from tasks.core.metrics.curves import pro_curve, roc_curve
from tasks.core.metrics.ranking import Ranking, pixel_ranking
from tasks.report.charts import Line, histogram, rates
from tasks.report.explanations import MatchView, Neighbor
from tasks.report.images import Pictures
from tasks.report.source import Row

RULES = {"embedding": "image score", "map": "anomaly map"}
THRESHOLDED = RULES | {"pixel": "any pixel"}
_HISTOGRAMS = {  # of each rule: title and unit
    "embedding": ("Histogram of image scores", "image score"),
    "map": ("Histogram of scores by the anomaly map", "mean of the highest 1 % of the map"),
}
Rules = Mapping[str, str]  # those that a method's images are scored by, and what they are called


@dataclass(frozen=True)
class ImageView:
    """A test image: its row of the images table, its pictures, neighbours and matches.

    `flagged` says by rule whether its score reaches the threshold, None where there is no threshold; `places`
    its place by rule among the category's scores, 1 for the highest.
    """

    row: Row
    page: str
    pictures: Pictures
    neighbors: list[Neighbor]
    matches: list[MatchView] | str
    flagged: dict[str, bool | None]
    places: dict[str, int]

    @property
    def entry(self) -> ImageFile:
        """Its line of the manifest."""
        return self.pictures.entry

    @property
    def name(self) -> str:
        """What tells it from the other images of its category."""
        return self.entry.image_id.removeprefix(f"{self.entry.category}/test/")

    def outcome(self, rule: str) -> str:
        """Verdict by a rule, against the label if there is one, in words; "" without a threshold."""
        if self.flagged[rule] is None:
            return ""
        if self.entry.anomalous is None:
            return "above the threshold" if self.flagged[rule] else "below the threshold"
        if self.entry.anomalous:
            return "found" if self.flagged[rule] else "missed"
        return "false alarm" if self.flagged[rule] else "passed"


@dataclass(frozen=True)
class Kind:
    """Results for one kind of test image; metrics are of this kind against all normal images."""

    name: str
    images: int
    flagged: dict[str, int | None]
    rocauc: dict[str, float | None]
    pixels_found: float | None


def rules_of(images: Sequence[Row]) -> Rules:
    """The rules that images were scored by, given their rows."""
    return {
        rule: RULES[rule] for rule in SCORE_RULES if all(row[f"score_{rule}"] is not None for row in images)
    }


def image_charts(category: Row, images: Sequence[Row], rules: Rules) -> dict[str, list[Markup]]:
    """`roc`: one chart of all rules, if it is defined; `scores`: a histogram a rule, with its threshold."""
    normal, anomalous, unlabelled = (
        np.array([row["anomalous"] is label for row in images], dtype=bool) for label in (False, True, None)
    )
    scores = {rule: np.array([row[f"score_{rule}"] for row in images]) for rule in rules}
    roc, histograms = [], []
    if anomalous.any() and normal.any():
        lines = []
        for rule, values in scores.items():
            ranking = Ranking.of(values[normal], values[anomalous])
            lines.append(Line(f"{rules[rule]}, {ranking.rocauc():.3f}", roc_curve(ranking)))
        roc.append(rates(lines, "ROC curve of images", "true-positive rate"))
    for rule, values in scores.items():
        threshold = category[f"image_f1_max_threshold_{rule}"]
        thresholds = [] if threshold is None else [("F1-max, chosen on the test set", threshold)]
        title, unit = _HISTOGRAMS[rule]
        of_kinds = {
            "normal": values[normal],
            "anomalous": values[anomalous],
            "unlabelled": values[unlabelled],
        }
        histograms.append(histogram(of_kinds, thresholds, title, unit))
    return {"roc": roc, "scores": histograms}


def pixel_charts(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.bool_]]]) -> list[Markup]:
    """ROC and PRO curve of anomaly maps (R, R) against masks (R, R); none where they are not defined."""
    try:
        ranking = pixel_ranking(pairs)
    except ValueError:
        return []
    roc = Line(f"pixels, {ranking.rocauc():.3f}", roc_curve(ranking))
    pro = Line(f"regions, {ranking.pro():.3f}", pro_curve(ranking))
    return [
        rates([roc], "ROC curve of pixels", "true-positive rate"),
        rates([pro], "PRO curve to a false-positive rate of 0.3", "mean overlap of regions", limit=0.3),
    ]


def kinds(views: Sequence[ImageView], recalls: Mapping[str, float], rules: Rules) -> list[Kind]:
    """Results by kind of defect, normal images first, unlabelled last; `recalls`: an image's pixels found."""
    normal = [view for view in views if view.entry.anomalous is False]
    found = []
    for name in sorted(
        {view.entry.defect for view in views}, key=lambda name: (name != GOOD, name == UNLABELLED, name)
    ):
        of_kind = [view for view in views if view.entry.defect == name]
        shares = [recalls[view.entry.image_id] for view in of_kind if view.entry.image_id in recalls]
        found.append(
            Kind(
                name,
                len(of_kind),
                {rule: _flagged(of_kind, rule) for rule in rules},
                {rule: _rocauc(normal, of_kind, rule) for rule in rules},
                float(np.mean(shares)) if shares else None,
            )
        )
    return found


def hardest(views: Sequence[ImageView], rule: str, count: int) -> dict[str, list[ImageView]]:
    """The highest-scoring normal and the lowest-scoring anomalous images by a rule."""
    ranked = sorted(views, key=lambda view: view.places[rule])
    return {
        "highest-scoring normal": [view for view in ranked if view.entry.anomalous is False][:count],
        "lowest-scoring anomalous": [view for view in reversed(ranked) if view.entry.anomalous][:count],
    }


def places(rows: Sequence[Row], rules: Rules) -> dict[str, dict[str, int]]:
    """Each image's place by rule, 1 for the highest score, by image_id."""
    found: dict[str, dict[str, int]] = {row["image_id"]: {} for row in rows}
    for rule in rules:
        for place, row in enumerate(sorted(rows, key=lambda row: -row[f"score_{rule}"]), start=1):
            found[row["image_id"]][rule] = place
    return found


def _flagged(views: Sequence[ImageView], rule: str) -> int | None:
    if any(view.flagged[rule] is None for view in views):
        return None
    return sum(bool(view.flagged[rule]) for view in views)


def _rocauc(normal: Sequence[ImageView], of_kind: Sequence[ImageView], rule: str) -> float | None:
    if not normal or not of_kind[0].entry.anomalous:
        return None
    scores = [np.array([view.row[f"score_{rule}"] for view in views]) for views in (normal, of_kind)]
    return Ranking.of(scores[0], scores[1]).rocauc()
