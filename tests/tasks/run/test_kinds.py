from __future__ import annotations

from typing import Any

import pytest

from storage.results.schemas import KINDS
from storage.store.tables import table_of
from tasks.run.kinds import kind_rows

CATEGORY = {
    "dataset": "data",
    "category": "nut",
    "method": "spade",
    "status": "ok",
    "image_f1_max_threshold_embedding": 3.0,
    "image_f1_max_threshold_map": 0.5,
}


def image(defect: str, embedding: float, score_map: float | None, aupimo: float | None) -> dict[str, Any]:
    return {
        "category": "nut",
        "method": "spade",
        "status": "ok",
        "split": "test",
        "anomalous": defect != "good",
        "defect": defect,
        "score_embedding": embedding,
        "score_map": score_map,
        "aupimo": aupimo,
    }


def test_each_kind_is_measured_against_all_normal_images_at_the_threshold_of_the_category() -> None:
    images = [
        image("good", 1, 0.1, None),
        image("good", 3, 0.2, None),
        image("cut", 2, 0.9, 0.25),
        image("cut", 4, 0.8, 0.75),
        image("bent", 5, 0.15, None),
        image("good", 9, 9, None) | {"status": "set aside"},
        image("cut", 9, 9, 1) | {"category": "gear"},
    ]
    bent, cut = table_of(kind_rows([CATEGORY], images), KINDS).to_pylist()
    assert (bent["defect"], bent["images"], bent["aupimo"]) == ("bent", 1, None)
    assert (bent["image_rocauc_embedding"], bent["image_recall_embedding"]) == (1, 1)
    assert bent["image_f1_embedding"] == pytest.approx(2 / 3)  # one found, one false alarm
    assert (bent["image_rocauc_map"], bent["image_recall_map"], bent["image_f1_map"]) == (0.5, 0, 0)
    assert (cut["images"], cut["aupimo"], cut["image_recall_embedding"]) == (2, 0.5, 0.5)
    assert cut["image_rocauc_embedding"] == 0.75
    assert cut["image_f1_embedding"] == 0.5  # one found, one missed, one false alarm
    assert (cut["image_rocauc_map"], cut["image_f1_map"]) == (1, 1)


def test_a_kind_has_no_number_without_a_normal_image_or_a_map() -> None:
    (row,) = kind_rows([CATEGORY], [image("cut", 2, 0.9, 0.5)])
    assert row == {
        "dataset": "data", "category": "nut", "method": "spade", "defect": "cut", "images": 1, "aupimo": 0.5
    }  # fmt: skip
    (row,) = kind_rows([CATEGORY], [image("cut", 2, None, None), image("good", 1, None, None)])
    assert row["image_rocauc_embedding"] == 1
    assert "image_rocauc_map" not in row


def test_a_category_that_failed_has_no_kinds() -> None:
    assert kind_rows([CATEGORY | {"status": "failed"}], [image("cut", 2, 0.9, 0.5)]) == []
