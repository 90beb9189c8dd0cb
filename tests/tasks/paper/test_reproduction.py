from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tasks.core.config import Configuration
from tasks.core.grid import Point
from tasks.core.methods.spade import Spade
from tasks.paper.figures import CAMPUS, IMAGES, Figure, figures
from tasks.paper.open_choices import CHOICES, choices_of
from tasks.paper.reproduction import (
    PublishedPoint,
    paper_figures,
    point_of,
    points_needed,
    reproduction_rows,
)
from tasks.run.tables import setting_values

BASE = Point(Configuration(), (Spade(),))
MVTEC = paper_figures(campus=False)
RUN: dict[str, Any] = setting_values(*vars(BASE).values()) | {"weights_sha256": "95faca4d" + "0" * 56}


def category(name: str, **changes: Any) -> dict[str, Any]:
    """A row of the categories table, its metrics drawn from the name."""
    train, normal, anomalous = IMAGES.get(name, (5, 5, 5))
    rng = np.random.default_rng(list(name.encode()))
    metrics = {metric: float(rng.uniform()) for metric in ("image_rocauc_embedding", "pixel_rocauc", "pro")}
    counts = {"train": train, "test_normal": normal, "test_anomalous": anomalous}
    none = dict.fromkeys(("reason", "image_reason", "pixel_reason"))
    return {"category": name, "status": "ok", **metrics, **counts, **none, **changes}


def points(rows: Mapping[str, Mapping[str, Any]], published: list[Figure]) -> dict[Point, PublishedPoint]:
    found = {}
    for number, point in enumerate(points_needed(published, BASE), start=1):
        run = RUN | setting_values(point.configuration, point.methods) | {"run": f"paper-{number}"}
        run["layout"] = '{"train_number": 5000, "test_step": 5}' if published != MVTEC else "{}"
        found[point] = PublishedPoint(run, rows)
    return found


def join(rows: Mapping[str, Mapping[str, Any]], of_dataset: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return reproduction_rows(MVTEC, BASE, points(rows, MVTEC), of_dataset or tuple(rows))


def row_of(rows: list[dict[str, Any]], table: int, name: str, method: str = "SPADE") -> dict[str, Any]:
    found = [row for row in rows if (row["table"], row["category"], row["method"]) == (table, name, method)]
    assert len(found) == 1
    return found[0]


def test_the_tables_of_mvtec_need_six_runs_on_the_same_features() -> None:
    found = points_needed(MVTEC, BASE)
    spades = [point.methods[0] for point in found]
    assert [(s.levels, s.k_image, s.k_gallery, s.gallery) for s in spades if isinstance(s, Spade)] == [
        ((), 50, 50, "nearest"),
        ((16,), 50, 50, "nearest"),
        ((8,), 50, 50, "nearest"),
        ((4,), 50, 50, "nearest"),
        ((), 10, 10, "random"),
        ((), 10, 10, "nearest"),
    ]
    assert len({str(point.configuration.feature_description("w")) for point in found}) == 1
    assert point_of(MVTEC[0], BASE) == found[0]


def test_the_tables_of_the_campus_need_one_run_of_whole_frames_with_one_neighbour() -> None:
    (found,) = points_needed(paper_figures(campus=True), BASE)
    settings = found.configuration
    assert (settings.protocol, settings.metric_resolution) == ("full256", 256)
    assert settings.preprocessing.frame(360, 640).size == (256, 256)
    assert found.methods == (Spade(k_image=1, k_gallery=1),)


def test_what_the_paper_leaves_open_stays_as_it_was_asked_for() -> None:
    base = Point(
        Configuration(backbone="resnet18", dtype="float32"), (Spade(upsampling="nearest", gallery_seed=3),)
    )
    for point in points_needed(MVTEC, base):
        assert point.configuration == base.configuration
        (method,) = point.methods
        assert isinstance(method, Spade)
        assert (method.upsampling, method.gallery_seed) == ("nearest", 3)


def test_every_figure_of_the_paper_has_its_row_in_the_order_of_the_tables() -> None:
    rows = join({name: category(name) for name in IMAGES})
    assert [row["table"] for row in rows] == [1] + [2] * 16 + [3] * 16 + [6] * 48 + [7] * 4
    shown = {(row["table"], row["category"], row["method"]): row["published"] for row in rows}
    for figure in figures():
        if figure.source == "paper" and figure.method.startswith("SPADE") and figure.category != CAMPUS:
            assert shown[figure.table, figure.category, figure.method] == figure.value


def test_a_whole_dataset_has_every_difference_and_the_average_over_all() -> None:
    found = {name: category(name) for name in IMAGES}
    rows = join(found)
    columns = {1: "image_rocauc_embedding", 2: "pixel_rocauc", 3: "pro", 6: "pro", 7: "pro"}
    for row in rows:
        column = columns[row["table"]]
        if row["category"] == "average":
            expected = sum(each[column] for each in found.values()) / 15
        else:
            expected = found[row["category"]][column]
        assert row["ours"] == pytest.approx(expected)
        assert row["difference"] == pytest.approx(expected - row["published"])
        assert row["categories"] == (15 if row["category"] == "average" else 1)
        assert (row["reason"], row["differs"]) == (None, [])
    assert {row["point"] for row in rows if row["table"] < 4} == {"paper-1"}
    assert row_of(rows, 6, "tile", "SPADE 28x28 only")["point"] == "paper-3"
    assert row_of(rows, 7, "grid", "SPADE K=10 random normals")["point"] == "paper-5"


def test_averages_of_some_categories_are_beside_the_published_ones_of_the_same() -> None:
    found = {name: category(name) for name in ("bottle", "grid")}
    rows = join(found)
    plain = row_of(rows, 3, "average")
    same = row_of(rows, 3, "average of these")
    assert (plain["published"], plain["difference"], plain["reason"]) == (0.917, None, "2 of 15 categories")
    assert plain["ours"] == same["ours"] == pytest.approx(np.mean([row["pro"] for row in found.values()]))
    theirs = (row_of(rows, 3, "bottle")["published"] + row_of(rows, 3, "grid")["published"]) / 2
    assert same["published"] == pytest.approx(theirs)
    assert same["difference"] == pytest.approx(plain["ours"] - theirs)
    assert row_of(rows, 1, "average")["categories"] == 2
    assert [row["table"] for row in rows if row["category"] == "average of these"] == [2, 3, 6, 6, 6]


def test_what_is_missing_says_why() -> None:
    failed = category("tile", status="failed", reason="no usable test image") | dict.fromkeys(
        ("pro", "pixel_rocauc")
    )
    blank = category("wood", pro=None, pixel_reason="no masks")
    rows = join(
        {"bottle": category("bottle"), "tile": failed, "wood": blank}, ("bottle", "tile", "wood", "grid")
    )
    found = {name: row_of(rows, 3, name) for name in ("bottle", "tile", "wood", "grid", "screw")}
    assert {name: row["reason"] for name, row in found.items()} == {
        "bottle": None,
        "tile": "no usable test image",
        "wood": "no masks",
        "grid": "not asked for",
        "screw": "category not in the dataset",
    }
    assert [name for name, row in found.items() if row["ours"] is None] == ["tile", "wood", "grid", "screw"]
    assert all(row["difference"] is None for name, row in found.items() if name != "bottle")
    assert row_of(rows, 3, "average of these")["ours"] == found["bottle"]["ours"]
    assert row_of(join({}, ("tile",)), 1, "average")["reason"] == "0 of 15 categories"


def test_other_settings_and_other_images_are_named() -> None:
    base = Point(Configuration(backbone="resnet50"), (Spade(fusion="average"),))
    needed = points_needed(MVTEC, base)
    run = RUN | {"backbone": "resnet50", "fusion": "average", "run": "paper-1", "gallery": "nearest"}
    point = PublishedPoint(run, {"bottle": category("bottle", train=3), "tile": category("tile")})
    rows = reproduction_rows(MVTEC, base, dict.fromkeys(needed, point), ())
    named = [
        "backbone is resnet50, published with wide_resnet50_2",
        "fusion is average, published with concatenate",
    ]
    assert row_of(rows, 2, "tile")["differs"] == named
    images = [text for text in row_of(rows, 2, "bottle")["differs"] if text not in named]
    assert len(images) == 1
    assert images[0].startswith("bottle: 3 for training")
    assert row_of(rows, 2, "average")["differs"] == [*named, *images]


def test_the_frames_of_the_campus_are_one_category() -> None:
    published = paper_figures(campus=True)
    found = points({CAMPUS: category(CAMPUS)}, published)
    image, pixel = reproduction_rows(published, BASE, found, ("campus",))
    for row, table, value in ((image, 4, 0.719), (pixel, 5, 0.899)):
        assert (row["table"], row["k"], row["differs"]) == (table, 1, [])
        assert row["published"] == pytest.approx(value)
    assert image["ours"] == category(CAMPUS)["image_rocauc_embedding"]
    assert pixel["difference"] == pytest.approx(category(CAMPUS)["pixel_rocauc"] - 0.899)


def test_every_open_choice_can_be_said_of_a_run() -> None:
    lines = list(choices_of(range(1, 8), RUN))
    assert len(lines) == len(CHOICES)
    assert any("bilinear interpolation (--upsampling)" in line for line in lines)
    assert any("sigma 4 pixels at 256" in line for line in lines)
    assert not any("frames" in line for line in choices_of((1, 2, 3, 6, 7), RUN))
    assert point_of(MVTEC[0], BASE) == BASE
