from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import draw_maps

from storage.computed.scores import Scores
from storage.results.metrics import default_gate
from storage.results.runs import publish
from storage.results.schemas import CATEGORIES, IMAGES, MANIFEST
from storage.store.store import Store
from storage.store.tables import table_of
from tasks.compare.runs import compare, configuration_key, is_worse, markdown
from tasks.compare.verdicts import verdict
from tasks.core.config import Configuration
from tasks.core.metrics.intervals import holm
from tasks.core.metrics.ranking import image_metrics, measure_pixels
from tasks.run.tables import RUN

IMAGES_OF_A_CATEGORY = 36
NAMES = list(default_gate(0.0))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


class Night:
    """Publishes runs over synthetic scores: maps of `draw_maps`, and image scores from a seed."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.day = 0

    def run(
        self,
        run_id: str,
        categories: Mapping[str, Mapping[str, Any]],
        **record: Any,
    ) -> str:
        """A run whose categories have these changes; see `_category`."""
        self.day += 1
        tables: dict[str, list[dict[str, Any]]] = {"categories": [], "images": [], "manifest": []}
        for seed, (name, changes) in enumerate(categories.items()):
            for table, rows in self._category(name, seed, **changes).items():
                tables[table] += rows
        base = {
            "status": "complete",
            "finished": datetime(2026, 1, self.day, tzinfo=UTC),
            "fingerprint": run_id,
            "dataset": "data",
            "methods": ["spade"],
            "configuration_key": "configuration",
            "protocol": "paper",
            "metric_resolution": 32,
        }
        schemas = {"categories": CATEGORIES, "images": IMAGES, "manifest": MANIFEST}
        schema = pa.schema([RUN.field(name) for name in base])
        publish(
            self.store,
            run_id,
            table_of([base | record], schema),
            {name: table_of(rows, schemas[name]) for name, rows in tables.items()},
        )
        return run_id

    def _category(
        self,
        name: str,
        seed: int,
        *,
        noise: float = 0.0,
        prefix: str = "",
        train: int = 5,
        images: int = IMAGES_OF_A_CATEGORY,
        mask: str = "mask",
        flipped: bool = False,
        kept: bool = True,
        **row: Any,
    ) -> dict[str, list[dict[str, Any]]]:
        """Rows of a category: `noise` on scores, `prefix` of file names, other data, columns of its row."""
        rng = np.random.default_rng(seed + 100)
        maps, masks = draw_maps(seed, images, 32, spread=2.0)
        anomalous = np.array([mask.any() for mask in masks])
        if flipped:
            anomalous[0] = True
        scores = rng.normal(0, 0.7, (2, images)) + 2 * anomalous
        disturbed = np.random.default_rng(9)
        scores += 2 * noise * disturbed.normal(size=scores.shape)
        maps = maps + (noise * disturbed.normal(size=maps.shape)).astype(np.float32)
        measured = measure_pixels(zip(maps, masks, strict=True))
        score_key, metrics_key = f"{name}{noise}", f"labels{images}{mask}"
        if kept:
            Scores(self.store, score_key).write_metrics(metrics_key, {}, vars(measured.profile))
        keys = [f"sha {name} {number}" for number in range(images)]
        files = [f"{name}/test/{prefix}{(7 * number) % images:03}.png" for number in range(images)]
        names = {"pixel_rocauc": "rocauc", "pro": "pro", "pro_05": "pro_05"}
        metrics = {name: measured.metrics[measure] for name, measure in names.items()}
        for rule, values in zip(("embedding", "map"), scores, strict=True):
            metrics[f"image_rocauc_{rule}"] = image_metrics(values, anomalous)["rocauc"]
        about = {"dataset": "data", "category": name}
        method = about | {"method": "spade"}
        image = [
            method
            | {"image_id": files[number], "sha256": keys[number], "anomalous": bool(anomalous[number])}
            | {"split": "test"}
            | {"defect": "cut" if anomalous[number] else "good", "status": "ok"}
            | {"score_embedding": float(scores[0][number]), "score_map": float(scores[1][number])}
            for number in range(images)
        ]
        columns = ("dataset", "category", "split", "image_id", "sha256", "anomalous", "defect", "status")
        test = [
            {column: row[column] for column in columns}
            | {"mask_sha256": f"{mask} {row['sha256']}" if row["anomalous"] else None}
            for row in image
        ]
        good = [
            about
            | {"split": "train", "image_id": f"{name}/train/{number}", "sha256": f"train {name} {number}"}
            | {"anomalous": False, "defect": "good", "status": "ok"}
            for number in range(train)
        ]
        found = (
            method | {"status": "ok"} | metrics | {"score_key": score_key, "metrics_key": metrics_key} | row
        )
        return {
            "categories": [found],
            "images": sorted(image, key=lambda row: row["image_id"]),
            "manifest": [*test, *good],
        }


@pytest.fixture
def night(store: Store) -> Night:
    return Night(store)


def rows_of(table: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["category"], row["metric"]): row for row in table.to_pylist()}


def verdicts(table: pa.Table) -> list[str]:
    return [row["verdict"] for row in table.to_pylist()]


def reasons(table: pa.Table) -> dict[str, str]:
    """Reason by metric of the only category."""
    return {row["metric"]: row["reason"] for row in table.to_pylist() if row["verdict"] == "not comparable"}


def test_equal_scores_are_the_same_whatever_the_seed_and_the_tolerance(night: Night) -> None:
    night.run("one", {"nut": {}, "gear": {}})
    night.run("two", {"nut": {"score_key": "other weights", "kept": False}, "gear": {}})
    Scores(night.store, "other weights").write_metrics(
        f"labels{IMAGES_OF_A_CATEGORY}mask", {}, Scores(night.store, "nut0.0").profile("labels36mask")
    )
    for seed in range(3):
        table = compare(night.store, "two", gate=default_gate(0.0), seed=seed)
        assert verdicts(table) == ["same"] * 8
        assert {(row["difference"], row["low"], row["high"]) for row in table.to_pylist()} == {(0, 0, 0)}
        assert set(table["reference_run"].to_pylist()) == {"one"}


def test_a_planted_regression_is_worse_and_its_repair_is_better(night: Night) -> None:
    night.run("one", {"nut": {}, "gear": {}})
    night.run("two", {"nut": {"noise": 2.5}, "gear": {}})
    night.run("three", {"nut": {}, "gear": {}})
    table = rows_of(compare(night.store, "two"))
    for metric in NAMES:
        row = table["nut", metric]
        assert row["verdict"] == "worse"
        assert row["difference"] == pytest.approx(row["value"] - row["reference"])
        assert row["low"] <= row["difference"] <= row["high"] < 0
        assert table["gear", metric]["verdict"] == "same"
    turned = rows_of(compare(night.store, "three"))
    for metric in NAMES:
        assert turned["nut", metric]["verdict"] == "better"
        assert turned["nut", metric]["low"] == pytest.approx(-table["nut", metric]["high"])


def test_the_verdict_on_a_regression_is_the_same_with_every_seed(night: Night) -> None:
    night.run("one", {"nut": {}})
    night.run("two", {"nut": {"noise": 2.5}})
    tables = [compare(night.store, "two", seed=seed) for seed in range(3)]
    assert {tuple(verdicts(table)) for table in tables} == {("worse",) * 4}


def test_a_loss_within_the_tolerance_or_within_chance_is_the_same(night: Night) -> None:
    night.run("one", {"nut": {}})
    night.run("two", {"nut": {"noise": 2.5}})
    assert verdicts(compare(night.store, "two", gate=default_gate(0.9))) == ["same"] * 4
    night.run("three", {"nut": {"noise": 0.3}})
    table = compare(night.store, "three", "one", gate=default_gate(0.0))
    by_chance = [row for row in table.to_pylist() if row["low"] <= 0 <= row["high"]]
    assert {row["verdict"] for row in by_chance} == {"same"}
    assert any(row["difference"] != 0 for row in by_chance)


def test_a_run_is_held_to_the_metrics_of_its_gate_each_with_its_tolerance(night: Night) -> None:
    night.run("one", {"nut": {}, "gear": {}})
    night.run("two", {"nut": {"noise": 2.5}})
    table = compare(night.store, "two", gate={"pro_05": 0.001, "pro": 0.9, "aupimo": 0.1})
    rows = rows_of(table)
    assert {name: row["verdict"] for (category, name), row in rows.items() if category == "nut"} == {
        "pro": "same", "pro_05": "worse", "aupimo": "not comparable"
    }  # fmt: skip
    assert "has no such metric" in rows["nut", "aupimo"]["reason"]
    assert [rows["gear", name]["verdict"] for name in ("pro", "pro_05", "aupimo")] == ["gone"] * 3
    assert compare(night.store, "two", gate={}).num_rows == 0


def test_p_values_are_corrected_over_the_categories_metric_by_metric(night: Night) -> None:
    names = ["nut", "gear", "bolt"]
    night.run("one", {name: {} for name in names})
    night.run("two", {name: {"noise": noise} for name, noise in zip(names, (0.5, 2.5, 0.0), strict=True)})
    rows = rows_of(compare(night.store, "two"))
    for metric in NAMES:
        p_values = [rows[name, metric]["p_value"] for name in names]
        assert [rows[name, metric]["p_adjusted"] for name in names] == pytest.approx(holm(p_values))
        assert p_values[2] == 1
        assert rows["bolt", metric]["detectable"] is None
        for name in names[:2]:
            row = rows[name, metric]
            assert 0.3 < row["detectable"] / (row["high"] - row["low"]) < 1.1


@given(st.floats(-1, 1), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.1))
def test_verdicts_follow_from_tolerance_and_interval(
    difference: float, below: float, above: float, tolerance: float
) -> None:
    interval = (difference - below, difference + above)
    found = verdict(difference, interval, tolerance)
    counts = abs(difference) > tolerance and not interval[0] <= 0 <= interval[1]
    assert found == ("same" if not counts else "worse" if difference < 0 else "better")


def test_renamed_files_are_paired_by_content(night: Night) -> None:
    night.run("one", {"nut": {}})
    night.run("two", {"nut": {"noise": 2.5}})
    night.run("three", {"nut": {"noise": 2.5, "prefix": "renamed "}})
    table, renamed = (compare(night.store, run, "one").drop_columns("reason") for run in ("two", "three"))
    assert renamed.equals(table)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"train": 6}, "the training images changed: 1 new, 0 gone"),
        ({"images": 34}, "the test images changed: 0 new, 2 gone"),
        ({"flipped": True}, "the labels changed: 1 new, 1 gone"),
        ({"status": "failed", "reason": "no image"}, "it failed in run two: no image"),
    ],
)
def test_changed_data_are_named_and_concern_their_category_alone(
    night: Night, change: dict[str, Any], reason: str
) -> None:
    night.run("one", {"nut": {}, "gear": {}})
    night.run("two", {"nut": change, "gear": {"noise": 2.5}})
    table = rows_of(compare(night.store, "two"))
    for metric in NAMES:
        assert (table["nut", metric]["verdict"], table["nut", metric]["reason"]) == ("not comparable", reason)
        assert table["nut", metric]["low"] is None
        assert table["gear", metric]["verdict"] == "worse"


@pytest.mark.parametrize(
    ("change", "record", "reason"),
    [
        ({"mask": "new"}, {}, "the masks changed: 24 new, 24 gone"),
        (
            {},
            {"metric_resolution": 64},
            "other pixels are evaluated: metric_resolution is 64, in the reference 32",
        ),
        ({}, {"protocol": "full"}, "other pixels are evaluated: protocol is full, in the reference paper"),
        ({"noise": 1.0, "kept": False}, {}, "the scores of run two are no longer in the store"),
        (
            {"pro": None, "pixel_rocauc": None, "pixel_reason": "no mask"},
            {},
            "run two has no such metric: no mask",
        ),
    ],
)
def test_what_concerns_pixels_leaves_the_image_metrics_comparable(
    night: Night, change: dict[str, Any], record: dict[str, Any], reason: str
) -> None:
    night.run("one", {"nut": {}})
    night.run("two", {"nut": change}, **record)
    found = reasons(compare(night.store, "two", "one"))
    assert sorted(found) == ["pixel_rocauc", "pro"]
    assert all(text.startswith(reason) for text in found.values())


def test_a_single_image_of_a_kind_leaves_chance_unknown(night: Night) -> None:
    night.run("one", {"nut": {"images": 3}})
    night.run("two", {"nut": {"images": 3, "noise": 1.0}})
    night.run("three", {"nut": {"images": 3, "noise": 1.0}})
    found = reasons(compare(night.store, "two"))
    assert sorted(found) == sorted(NAMES)
    assert all(text.startswith("chance cannot be told") for text in found.values())
    assert verdicts(compare(night.store, "three")) == ["same"] * 4


def test_the_reference_is_the_last_complete_run_of_the_same_dataset_and_configuration(night: Night) -> None:
    night.run("older", {"nut": {}})
    night.run("reference", {"nut": {}})
    night.run("partial", {"nut": {}}, status="partial")
    night.run("elsewhere", {"nut": {}}, dataset="other")
    night.run("otherwise", {"nut": {}}, configuration_key="other")
    night.run("now", {"nut": {}})
    night.run("later", {"nut": {}})
    table = compare(night.store, "now")
    assert set(table["reference_run"].to_pylist()) == {"reference"}


def test_a_category_is_compared_with_the_last_run_that_has_it(night: Night) -> None:
    night.run("whole", {"nut": {}, "gear": {}})
    night.run("part", {"nut": {}})
    night.run("now", {"nut": {}, "gear": {"noise": 2.5}, "bolt": {}})
    table = rows_of(compare(night.store, "now"))
    assert table["nut", "pro"]["reference_run"] == "part"
    assert (table["gear", "pro"]["reference_run"], table["gear", "pro"]["verdict"]) == ("whole", "worse")
    assert table["bolt", "pro"]["verdict"] == "new"
    assert table["bolt", "pro"]["value"] is not None
    gone = rows_of(compare(night.store, "part"))["gear", "pro"]
    assert (gone["verdict"], gone["value"], gone["reason"]) == ("gone", None, "run part does not have it")
    assert gone["reference"] is not None


def test_the_first_run_is_all_new(night: Night) -> None:
    night.run("one", {"nut": {}, "gear": {}})
    table = compare(night.store, "one")
    assert verdicts(table) == ["new"] * 8
    assert not is_worse(table)


def test_a_damaged_earlier_run_is_passed_over(night: Night) -> None:
    for run in ("one", "two", "three"):
        night.run(run, {"nut": {}})
    night.store.write(night.store.run_table("two", "images"), b"")
    assert set(compare(night.store, "three")["reference_run"].to_pylist()) == {"one"}
    night.store.write(night.store.run_table("one", "run"), b"")
    assert set(verdicts(compare(night.store, "three"))) == {"new"}


def test_a_configuration_is_the_same_with_other_weights_or_verdicts_and_another_else() -> None:
    base = Configuration()
    key = configuration_key(base)
    assert configuration_key(replace(base, weights="other.pth", fpr=0.05)) == key
    changes: list[dict[str, Any]] = [
        {"backbone": "resnet18"}, {"protocol": "full"}, {"sigma": 0.0}, {"metric_resolution": 224},
        {"dtype": "float32"}, {"precision": "bfloat16"}, {"resize": 288}, {"crop": 128}, {"input": 64},
        {"resize": 448, "aspect": "crop"}, {"input": 448, "tile": 224, "overlap": 32},
        {"layers": ("layer1",)},
    ]  # fmt: skip
    assert {name for change in changes for name in change} | {"weights", "fpr"} == set(base.values())
    assert len({key} | {configuration_key(replace(base, **change)) for change in changes}) == 13


def test_a_method_is_compared_with_the_last_run_that_has_it_with_the_same_settings(night: Night) -> None:
    night.run("one", {"nut": {}})
    night.run("two", {"nut": {"method": "spade(k_image=3)"}}, methods=["spade(k_image=3)"])
    assert set(verdicts(compare(night.store, "two"))) == {"new"}
    night.run("three", {"nut": {}})
    assert set(compare(night.store, "three")["reference_run"].to_pylist()) == {"one"}


def test_markdown_shows_what_got_worse_first_and_keeps_odd_names_in_their_cells(night: Night) -> None:
    night.run("one", {"a|b*": {"noise": 2.5}, "gear": {}})
    night.run("two", {"a|b*": {}, "gear": {"noise": 2.5}})
    text = markdown(compare(night.store, "two"), "two")
    title, _, header, rule, *lines = text.splitlines()
    assert title == "# Run two: 4 worse, 4 better"
    assert [line.split(" | ")[0] for line in lines] == ["| **worse**"] * 4 + ["| better"] * 4
    assert r"data/a\|b\*" in lines[-1]
    assert len({line.replace(r"\|", "").count("|") for line in (header, rule, *lines)}) == 1
    assert "+" in lines[-1]


def test_labels_and_scores_keep_together(night: Night) -> None:
    """The difference by DeLong is that of the tables: the pairing has not mixed images up."""
    night.run("one", {"nut": {}})
    night.run("two", {"nut": {"noise": 1.0, "prefix": "x"}})
    for row in compare(night.store, "two").to_pylist():
        if row["metric"].startswith("image"):
            assert row["low"] + row["high"] == pytest.approx(2 * row["difference"])
