"""The operating point of a category as its page shows it, with the images behind each number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.report.source import Row, Source
from tasks.report.views import THRESHOLDED, ImageView

_SHOWN_RATES = 12  # of the curve


@dataclass(frozen=True)
class Point:
    """One score at the false-positive rate that was named.

    Attributes:
        title: what the score is called.
        row: of the table `operating`.
        kinds: rows of `misses`.
        curve: rows of `operating_curve`, some of them.
        false_alarms, missed: the images.
    """

    title: str
    row: Row
    kinds: list[Row]
    curve: list[Row]
    false_alarms: list[ImageView]
    missed: list[ImageView]


def operating_points(source: Source, category: str, views: Sequence[ImageView]) -> list[Point]:
    """One a score of the method; none where no false-positive rate was named."""
    tables = {
        name: [row for row in source.operating(name) if row["category"] == category]
        for name in ("operating", "misses", "operating_curve")
    }
    points = []
    for row in tables["operating"]:
        rule = row["rule"]
        flagged = {view.entry.image_id: view.row[f"flagged_{rule}"] for view in views}
        wrong = [
            view
            for view in views
            if None not in (view.entry.anomalous, flagged[view.entry.image_id])
            and flagged[view.entry.image_id] is not view.entry.anomalous
        ]
        kinds, curve = (
            [each for each in tables[name] if each["rule"] == rule] for name in ("misses", "operating_curve")
        )
        points.append(
            Point(
                THRESHOLDED[rule],
                row,
                kinds,
                curve[:: -(-len(curve) // _SHOWN_RATES) or 1],
                [view for view in wrong if not view.entry.anomalous],
                [view for view in wrong if view.entry.anomalous],
            )
        )
    return points
