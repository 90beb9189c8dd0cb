"""What corruptions of the test images cost, as a page shows it: curves over severities, and all numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from storage.results.robustness import CLEAN, averages, by_rule
from tasks.report.charts import severities
from tasks.report.source import Row, Source
from tasks.report.views import THRESHOLDED


@dataclass(frozen=True)
class Section:
    """A category, or the mean over all.

    Attributes:
        name: of the category; "average" of the mean.
        rules: the scores, and what they are called.
        shown: the score that the curves are of.
        corruptions: a chart by the name of each.
        rows: one a corruption and severity, with the measures of each score.
        reasons: why some are missing.
    """

    name: str
    rules: dict[str, str]
    shown: str
    corruptions: dict[str, Markup]
    rows: Sequence[Row]
    reasons: list[str]


def robustness(source: Source) -> list[Section]:
    """The mean over the categories, if there are several, and each; nothing where nothing was measured."""
    rows = source.operating("robustness")
    names = list(dict.fromkeys(row["category"] for row in rows))
    sections = [_section("average", averages(rows))] if len(names) > 1 else []
    return sections + [_section(name, [row for row in rows if row["category"] == name]) for name in names]


def _section(name: str, rows: Sequence[Row]) -> Section:
    found = dict.fromkeys(row["rule"] for row in rows)
    rules = {rule: title for rule, title in THRESHOLDED.items() if rule in found}
    shown = "map" if "map" in rules else "embedding"
    of_shown = [row for row in rows if row["rule"] == shown]
    charts = {
        corruption: severities(
            [row for row in of_shown if row["corruption"] in (CLEAN, corruption)], f"{name}: {corruption}"
        )
        for corruption in dict.fromkeys(row["corruption"] for row in of_shown)
        if corruption != CLEAN
    }
    reasons = dict.fromkeys(str(row["reason"]) for row in rows if row.get("reason"))
    return Section(name, rules, shown, charts, by_rule(rows), list(reasons))
