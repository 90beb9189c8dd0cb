from __future__ import annotations

import pytest

from flows.cli.screen.tables import rendered
from storage.results.metrics import OCCASIONAL


@pytest.mark.parametrize(("value", "is_shown"), [(0.0, True), (0.5, True), (None, False)])
def test_a_metric_of_few_datasets_is_a_column_where_a_row_has_it(value: float | None, is_shown: bool) -> None:
    rows = [
        {"category": "nut", "method": "dn2", "unlabelled": 0, metric.name: value} for metric in OCCASIONAL
    ]
    titles = [column.header for column in rendered(rows, "categories").columns]
    assert {metric.title for metric in OCCASIONAL} & {*titles} == (
        {metric.title for metric in OCCASIONAL} if is_shown else set()
    )
    assert "unlabelled" not in titles
