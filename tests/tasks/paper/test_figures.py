from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tasks.paper.figures import (
    CAMPUS,
    IMAGES,
    SOURCES,
    Figure,
    figures,
    other_images,
    other_settings,
    published,
    published_settings,
)

RUN: dict[str, Any] = {
    "backbone": "wide_resnet50_2",
    "weights_sha256": "95faca4d" + "0" * 56,
    "protocol": "paper",
    "resize": None,
    "crop": None,
    "input": None,
    "aspect": "stretch",
    "tile": None,
    "levels": ["4", "8", "16"],
    "gallery": "nearest",
    "k_image": 50,
    "k_gallery": 50,
    "kappa": 1,
    "fusion": "concatenate",
    "distance": "squared",
    "average": 1,
    "normalization": "none",
    "window": 0,
    "image_rule": "embedding",
    "retrieval": "euclidean",
    "foreground": "all",
    "sigma": 4.0,
    "metric_resolution": 256,
}
CAMPUS_RUN = {"protocol": "full256", "layout": '{"train_number": 5000, "test_step": 5}'}


def figure(category: str, method: str, metric: str, k: int | None = None) -> Figure:
    found = [f for f in published(category) if (f.method, f.metric) == (method, metric) and k in (None, f.k)]
    assert len(found) == 1
    return found[0]


def test_known_values() -> None:
    assert figure("bottle", "SPADE", "pixel_rocauc").value == pytest.approx(0.984)
    assert figure("grid", "SPADE 56x56 only", "pro").value == pytest.approx(0.891)
    assert figure("average", "SPADE", "image_rocauc").value == pytest.approx(0.855)
    assert figure("screw", "SPADE-fast", "image_rocauc", 50).value == pytest.approx(0.498)
    assert {f.table for f in figures() if f.source == "paper"} == set(range(1, 8))


@pytest.mark.parametrize(("metric", "average"), [("pixel_rocauc", 0.960), ("pro", 0.917)])
def test_the_categories_average_to_what_the_paper_prints(metric: str, average: float) -> None:
    values = [figure(category, "SPADE", metric).value for category in IMAGES]
    assert np.mean(values) == pytest.approx(average, abs=0.0006)
    assert figure("average", "SPADE", metric).value == pytest.approx(average)


def test_every_figure_has_a_source_and_is_a_share() -> None:
    assert {f.source for f in figures()} == set(SOURCES)
    assert all(0 < f.value < 1 for f in figures())
    assert {f.category for f in figures()} == {*IMAGES, "average", "shanghaitech_campus"}
    assert np.sum(list(IMAGES.values()), axis=0).tolist() == [3629, 467, 1258]
    assert published("no such category") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"backbone": "resnet18"}, "backbone is resnet18, published with wide_resnet50_2"),
        ({"metric_resolution": 224}, "metric_resolution is 224, published with 256"),
        ({"levels": ["8"]}, "levels is 8, published with 4, 8, 16"),
        ({"input": "448"}, "input is 448, published with none"),
        ({"k_gallery": 5}, "k_gallery is 5, published with 50"),
        ({"gallery": "random"}, "gallery is random, published with nearest"),
        ({"weights_sha256": "0" * 64}, "the weights are not torchvision's IMAGENET1K_V1"),
    ],
)
def test_a_run_with_other_settings_is_not_comparable(change: dict[str, Any], reason: str) -> None:
    pro = figure("bottle", "SPADE", "pro")
    assert other_settings(pro, RUN) == []
    assert other_settings(pro, RUN | change) == [reason]


def test_a_run_by_another_method_is_told_so_and_compared_in_what_they_share() -> None:
    of_spade = {"levels", "gallery", "k_image", "k_gallery", "kappa", "fusion", "distance"}
    run = RUN | dict.fromkeys(of_spade) | {"methods": ["padim"], "sigma": 1.0}
    for metric in ("image_rocauc", "pixel_rocauc"):
        assert other_settings(figure("grid", "SPADE-fast", metric, 50), run) == [
            "the method is padim, published with spade",
            "sigma is 1.0, published with 4.0",
            "metric_resolution is 256, published with 224",
        ]


def test_the_papers_settings_are_the_defaults_that_it_states() -> None:
    published = published_settings(figure("bottle", "SPADE", "pro"))
    assert published == {name: RUN[name] for name in published}
    assert published.keys() == RUN.keys() - {"weights_sha256"}


def test_the_k_that_matters_is_that_of_the_metric() -> None:
    fast = figure("bottle", "SPADE-fast", "image_rocauc", 5)
    found = other_settings(fast, RUN | {"fusion": "average", "metric_resolution": 224, "k_image": 5})
    assert found == []


@pytest.mark.parametrize(
    ("category", "method", "metric", "change"),
    [
        ("bottle", "SPADE 14x14 only", "pro", {"levels": ["16"]}),
        ("bottle", "SPADE 28x28 only", "pro", {"levels": ["8"]}),
        ("bottle", "SPADE 56x56 only", "pro", {"levels": ["4"]}),
        ("grid", "SPADE K=10 nearest normals", "pro", {"k_gallery": 10}),
        ("grid", "SPADE K=10 random normals", "pro", {"k_gallery": 10, "gallery": "random"}),
        (CAMPUS, "SPADE", "image_rocauc", CAMPUS_RUN | {"k_image": 1}),
        (CAMPUS, "SPADE", "pixel_rocauc", CAMPUS_RUN | {"k_gallery": 1}),
    ],
)
def test_each_table_has_settings_of_its_own(
    category: str, method: str, metric: str, change: dict[str, Any]
) -> None:
    published_figure = figure(category, method, metric)
    assert other_settings(published_figure, RUN | change) == []
    plain = RUN | {"layout": CAMPUS_RUN["layout"]} if category == CAMPUS else RUN
    assert len(other_settings(published_figure, plain)) == (2 if category == CAMPUS else len(change))


def test_other_frames_are_not_comparable() -> None:
    run = RUN | CAMPUS_RUN | {"k_image": 1, "layout": '{"train_number": 50, "test_step": 5}'}
    assert other_settings(figure(CAMPUS, "SPADE", "image_rocauc"), run) == [
        "train_number is 50, published with 5000"
    ]


def test_other_images_under_the_same_name_are_named() -> None:
    row = {"category": "hazelnut", "train": 391, "test_normal": 40, "test_anomalous": 70}
    assert other_images(row) is None
    assert other_images(row | {"train": 50}) == (
        "50 for training, 40 normal and 70 anomalous to test; "
        "MVTec AD has 391 for training, 40 normal and 70 anomalous to test"
    )
