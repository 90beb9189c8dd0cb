from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import spade, write_category, write_image

from storage.datasets.dataset import Dataset
from storage.datasets.layouts.table import Table
from storage.datasets.manifest import ImageFile
from storage.results.reader import Results
from storage.results.schemas import MISSES, OPERATING, OPERATING_CURVE, REGIONS
from storage.store.tables import table_of
from tasks.core.config import Configuration
from tasks.core.methods.interface import Method
from tasks.core.methods.neighbors import DN2
from tasks.core.methods.padim import PaDiM
from tasks.core.metrics.conformal import conformal_threshold
from tasks.core.pictures.restore import restore
from tasks.job import Part
from tasks.methods.fitted import FeatureScoring
from tasks.methods.thresholds import VALIDATION, held_out_scores, threshold
from tasks.new_images import Scorer
from tasks.run.operating import RULES, Operation, operate

FPR = 0.25


def operated(part: Part, method: Method) -> tuple[FeatureScoring, Operation]:
    configuration = replace(part.job.configuration, fpr=FPR)
    scoring = FeatureScoring(replace(part.job, configuration=configuration).part("nut"), method)
    scoring.score()
    return scoring, operate.fn(scoring)[0]


def test_alarms_misses_and_segmentation_are_those_of_a_plain_loop(part: Part) -> None:
    scoring, found = operated(part, spade())
    rows = {row["rule"]: row for row in table_of(found.tables["operating"], OPERATING).to_pylist()}
    assert [*rows] == ["embedding", "map", "pixel"]
    images = scoring.part.test_images
    maps = {image: scoring.scores.anomaly_map(image.key) for image in images}
    for rule, row in rows.items():
        limit = conformal_threshold(held_out_scores(scoring, rule, 6), FPR)
        assert (row["threshold"], row["threshold_images"], row["fpr"]) == (limit, 6, FPR)
        assert row["threshold_source"] == "held-out training images"
        for image in images:
            record = scoring.scores.read(image.key)
            peak = float(maps[image].max())
            values = {"embedding": record.score_embedding, "map": record.score_map, "pixel": peak}
            value = values[rule]
            assert value is not None
            assert found.images[image.image_id][f"flagged_{rule}"] == (value > limit)
        flagged = {image: found.images[image.image_id][f"flagged_{rule}"] for image in images}
        assert row["false_alarms"] == sum(flagged[image] for image in images if not image.anomalous)
        assert row["missed"] == sum(not flagged[image] for image in images if image.anomalous)
        assert (row["normal"], row["anomalous"]) == (2, 3)
        assert (row["seg_f1"] is None) == (rule != "pixel")
    misses = table_of(found.tables["misses"], MISSES).to_pylist()
    assert [(row["rule"], row["defect"], row["images"], row["missed"]) for row in misses] == [
        (rule, "square", 3, row["missed"]) for rule, row in rows.items()
    ]
    curve = table_of(found.tables["operating_curve"], OPERATING_CURVE).to_pylist()
    same = [row for row in curve if row["rule"] == "pixel" and row["threshold"] == rows["pixel"]["threshold"]]
    assert [row["seg_f1"] for row in same] == [rows["pixel"]["seg_f1"]]
    assert len([row for row in curve if row["rule"] == "map"]) == 6


def test_regions_are_what_is_above_the_pixel_threshold_in_the_image(part: Part) -> None:
    scoring, found = operated(part, spade())
    regions = table_of(found.tables["regions"], REGIONS).to_pylist()
    limit = next(row["threshold"] for row in found.tables["operating"] if row["rule"] == "pixel")
    assert regions
    for image in scoring.part.test_images:
        of_image = [row for row in regions if row["image_id"] == image.image_id]
        heat = restore(
            scoring.scores.anomaly_map(image.key), scoring.part.job.configuration.preprocessing, 40, 49
        )
        assert sum(row["area"] for row in of_image) == (heat > limit).sum()
        assert [row["region"] for row in of_image] == [*range(1, len(of_image) + 1)]
        for row in of_image:
            assert (row["image_height"], row["image_width"]) == (40, 49)
            assert heat[row["peak_y"], row["peak_x"]] == np.float32(row["peak"])
            assert (row["true_share"] is not None) == bool(image.anomalous)


def test_a_method_without_maps_has_an_operating_point_and_no_regions(part: Part) -> None:
    _, found = operated(part, DN2())
    assert [row["rule"] for row in found.tables["operating"]] == ["embedding"]
    assert found.tables["regions"] == []
    assert all(row.keys() == {"flagged_embedding"} for row in found.images.values())


def test_too_few_normal_images_have_no_threshold_and_a_reason(part: Part) -> None:
    configuration = replace(part.job.configuration, fpr=0.01)
    scoring = FeatureScoring(replace(part.job, configuration=configuration).part("nut"), spade())
    scoring.score()
    found, _ = operate.fn(scoring)
    table_of(found.tables["operating"], OPERATING)
    for row in found.tables["operating"]:
        assert row["threshold"] is None
        assert "needs 99 normal images, and nut has 6" in row["reason"]
    assert not any(found.tables[name] for name in ("misses", "operating_curve", "regions"))


@pytest.mark.parametrize("method", [spade(), PaDiM(levels=(16,), dimensions=4)])
def test_anomalous_images_never_move_a_threshold(part: Part, method: Method) -> None:
    """Whichever of them are gone, and whatever is in their place."""
    scoring = FeatureScoring(part, method)
    scoring.score()
    expected = {rule: threshold(scoring, rule, FPR).value for rule in RULES}
    anomalous = [image.image_id for image in part.test_images if image.anomalous]

    @settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sets(st.sampled_from(anomalous)), st.permutations(part.manifest.files))
    def check(gone: set[str], files: list[ImageFile]) -> None:
        part.store.remove([part.store.held_out(scoring.key)])
        manifest = replace(part.manifest, files=tuple(files)).exclude(dict.fromkeys(gone, "gone"))
        other = FeatureScoring(Part(part.job, part.category, manifest, part.store), method)
        assert other.key == scoring.key
        assert {rule: threshold(other, rule, FPR).value for rule in RULES} == expected

    check()


@pytest.fixture
def validated(tmp_path: Path) -> Dataset:
    """A dataset with images to validate, one of them trained with and one anomalous; one is unlabelled."""
    write_category(tmp_path / "data", "nut", train=4)
    write_category(tmp_path / "more", "nut", train=5, normal=2, anomalous=0, seed=9)
    root, more = tmp_path / "data", tmp_path / "more/nut/train/good"
    (root / "validation").mkdir()
    for path in more.iterdir():
        path.rename(root / "validation" / path.name)
    shutil.copy(root / "nut/train/good/000.png", root / "validation/twin.png")
    shutil.copy(root / "nut/test/square/000.png", root / "validation/odd.png")
    write_image(root / "odd.png", np.full((40, 49, 3), 250, np.uint8))
    rows = ["image,split,label,mask"]
    for path in sorted(root.rglob("*.png")):
        if "ground_truth" not in path.parts:
            name = path.relative_to(root).as_posix()
            split, label, mask = "test", "square", f"nut/ground_truth/square/{path.stem}_mask.png"
            if path.parent.name in ("good", "validation"):
                split, label, mask = path.parent.parent.name, "good", ""
            if path.parent.name == "validation":
                split, label = "validation", "square" if path.stem == "odd" else "good"
            if path.parent == root:
                label, mask = "", ""
            rows.append(f"{name},{split},{label},{mask}")
    (root / "images.csv").write_text("\n".join(rows))
    return Dataset.at(root, Table(category="nut"))


def test_images_to_validate_give_the_threshold_and_have_no_part_in_metrics(
    prefect_server: None,  # noqa: ARG001
    validated: Dataset,
    settings: Callable[..., Configuration],
    tmp_path: Path,
) -> None:
    from flows.evaluate import evaluate

    store, methods = str(tmp_path / "store"), [spade().label, "dn2"]
    evaluate(validated, store, settings(fpr=FPR), run_id="one", methods=methods)
    results = Results(store)
    images = results.rows("images", "one", methods[0])
    splits = {row["image_id"]: row["split"] for row in images}
    assert sorted(splits.values()) == ["test"] * 5 + ["unlabelled"] + ["validation"] * 7
    assert all(row["score_map"] is not None and row["flagged_pixel"] is not None for row in images)
    odd = next(row for row in images if row["split"] == "unlabelled")
    assert (odd["anomalous"], odd["flagged_embedding"]) == (None, True)
    (category,) = results.rows("categories", "one", methods[0])
    assert (category["test_normal"], category["test_anomalous"], category["pixel_images"]) == (2, 3, 5)
    seen = [row for row in images if row["image_id"].startswith("validation/0")]
    for row in results.rows("operating", "one", methods[0]):
        column = {"embedding": "score_embedding", "map": "score_map", "pixel": "peak"}[row["rule"]]
        assert (row["threshold_source"], row["threshold_images"]) == (VALIDATION, 5)
        assert row["threshold"] == conformal_threshold([each[column] for each in seen], FPR)
        assert (row["normal"], row["anomalous"]) == (2, 3)
    scorer = Scorer(store, "one", method=methods[0])
    few = Scorer(store, "one", method="dn2", fpr=0.16).threshold("embedding")
    assert (few.source, few.value) == ("held-out training images", None)  # 6 are needed, and 5 and 4 there
    limits = {row["rule"]: row["threshold"] for row in results.rows("operating", "one", methods[0])}
    assert {rule: scorer.threshold(rule).value for rule in RULES} == limits
    evaluate(validated, store, settings(fpr=FPR), run_id="two", methods=methods)
    stages = results.rows("stages", "two")
    assert not [row for row in stages if row["step"] in ("extract", "score") and row["computed"]]
