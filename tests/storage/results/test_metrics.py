from __future__ import annotations

from dataclasses import asdict

import pytest

from storage.computed.scores import ImageScore
from storage.results.documentation import metrics_page
from storage.results.metrics import (
    AVERAGED,
    BY_IMAGE,
    BY_NAME,
    COMPARED,
    EXCUSED,
    METRICS,
    OCCASIONAL,
    SATURATED,
    SCORE_RULES,
    SHOWN,
    default_gate,
)
from storage.results.schemas import CATEGORIES, IMAGES
from tasks.core.metrics.ranking import IMAGE_MEASURES, PIXEL_MEASURES

OF_PIXELS = {*PIXEL_MEASURES, "aupimo", *(metric.measure for metric in SATURATED)}


def test_what_computes_a_metric_is_there() -> None:
    for metric in METRICS:
        measures = OF_PIXELS if metric.level == "pixel" else IMAGE_MEASURES
        assert metric.measure in measures, metric.name


def test_every_measure_is_a_metric_of_each_score_that_is_ranked() -> None:
    of_pixels = [metric.measure for metric in METRICS if metric.level == "pixel"]
    assert sorted(of_pixels) == sorted(OF_PIXELS)
    for rule in SCORE_RULES:
        assert {metric.measure for metric in METRICS if metric.rule == rule} == IMAGE_MEASURES.keys()


def test_names_and_titles_are_each_of_one_metric() -> None:
    assert len(BY_NAME) == len({metric.title for metric in METRICS}) == len(METRICS)


def test_the_score_that_is_ranked_is_a_column_and_a_field_of_what_is_stored() -> None:
    record = asdict(ImageScore("", 0.0, 0.0, [], []))
    for rule in SCORE_RULES:
        assert f"score_{rule}" in IMAGES.names
        assert f"score_{rule}" in record
    assert {metric.score for metric in METRICS if metric.rule} == {f"score_{rule}" for rule in SCORE_RULES}


def test_a_metric_is_a_column_and_one_that_is_compared_has_an_interval() -> None:
    assert {metric.name for metric in METRICS} <= set(CATEGORIES.names)
    for metric in METRICS:
        assert {metric.low, metric.high} <= set(CATEGORIES.names) or metric not in COMPARED
        assert {metric.low, metric.high}.isdisjoint(CATEGORIES.names) or metric in COMPARED
    assert set(COMPARED) <= set(AVERAGED)
    assert set(SHOWN) <= {metric.name for metric in AVERAGED}
    assert default_gate(0.1).keys() <= {metric.name for metric in COMPARED}
    for metric in BY_IMAGE:
        assert metric.name in IMAGES.names
    for metric in METRICS:
        assert (metric.own_reason in CATEGORIES.names) == (metric in EXCUSED) or metric.level != "pixel"
    assert set(SHOWN).isdisjoint(metric.name for metric in OCCASIONAL)


def test_a_metric_says_its_convention_and_its_source_on_the_page() -> None:
    page = metrics_page(METRICS)
    for metric in METRICS:
        assert f"`{metric.name}`" in page
        section = page.split(f"`{metric.name}`")[1].split("##")[0]
        assert f"- What: {metric.meaning}." in section
        assert f"- Here: {metric.convention}." in section
        assert f"- Source: {metric.source}." in section
        assert (metric.interval in section) == metric.compared


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        ({"status": "failed", "reason": "no image"}, "pro", "no image"),
        ({"status": "ok", "image_reason": "one kind"}, "image_rocauc_map", "one kind"),
        ({"status": "ok", "map_reason": "whole images"}, "image_rocauc_map", "whole images"),
        ({"status": "ok", "map_reason": "whole images"}, "image_rocauc_embedding", None),
        ({"status": "ok", "map_reason": "whole images"}, "pixel_rocauc", "whole images"),
        ({"status": "ok", "pixel_reason": "no mask"}, "pro", "no mask"),
        ({"status": "ok", "image_reason": "one kind"}, "pro", None),
        ({"status": "ok", "image_reason": "one kind"}, "sample_rocauc_map", "one kind"),
        ({"status": "ok", "sample_reason": "one view"}, "sample_rocauc_embedding", "one view"),
        ({"status": "ok", "sample_reason": "one view"}, "image_rocauc_embedding", None),
        ({"status": "ok", "map_reason": "whole images"}, "sample_rocauc_map", "whole images"),
        ({"status": "ok", "aupimo_reason": "few pixels"}, "aupimo", "few pixels"),
        ({"status": "ok", "aupimo_reason": "few pixels"}, "pro", None),
        ({"status": "ok", "spro_05_reason": "not stated"}, "spro_05", "not stated"),
        ({"status": "ok", "spro_05_reason": "not stated"}, "spro_05_logical", None),
    ],
)
def test_the_reason_for_a_missing_metric_is_the_one_of_its_kind(
    row: dict[str, str], name: str, reason: str | None
) -> None:
    assert BY_NAME[name].reason(row) == reason
