from __future__ import annotations

from typing import Any

import pytest

from tasks.run.tables import summary_rows


def category(name: str, pro: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"category": name, "method": "spade", "pro": pro, "pro_low": low, "pro_high": high}


def average(*rows: dict[str, Any]) -> dict[str, Any]:
    (found,) = (row for row in summary_rows(rows) if row["metric"] == "pro")
    return found


def test_an_average_has_the_intervals_of_its_categories_combined() -> None:
    found = average(
        category("a", 0.9, 0.86, 0.93), category("b", 0.7, 0.67, 0.74), category("c", None, None, None)
    )
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.8, 0.775, 0.825))
    assert (found["categories"], found["categories_without"]) == (2, 1)


def test_an_average_has_no_interval_where_a_category_has_none() -> None:
    found = average(category("a", 0.9, 0.86, 0.93), category("b", 0.7, None, None))
    assert (found["mean"], found["low"], found["high"]) == (pytest.approx(0.8), None, None)
    assert average(category("a", None, None, None))["low"] is None
