from __future__ import annotations

from storage.results.robustness import averages, by_rule


def test_averages_are_over_the_categories_that_have_a_value() -> None:
    about = {"method": "dn2", "rule": "embedding", "corruption": "blur", "severity": 1, "amount": 0.1}
    measures = {"rocauc": 0.5, "false_alarm_rate": 0.25, "miss_rate": None}
    rows = [about | measures, about | measures | {"rocauc": 1.0}, about | dict.fromkeys(measures)]
    (mean,) = averages(rows)
    assert mean == about | {"rocauc": 0.75, "false_alarm_rate": 0.25, "miss_rate": None, "categories": 3}
    (side,) = by_rule([mean])
    assert side["rocauc_embedding"] == 0.75
    assert (side["corruption"], side["severity"]) == ("blur", 1)
