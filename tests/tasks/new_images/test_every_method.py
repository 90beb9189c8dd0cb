"""New images are scored by every method as its run scored them, and by thresholds of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import write_category

from flows.evaluate import evaluate
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.registry import METHODS, parse_method
from tasks.core.metrics.conformal import conformal_threshold
from tasks.methods.ensemble import EnsembleScoring
from tasks.methods.thresholds import held_out_scores, threshold
from tasks.new_images.files import TILE, score_files
from tasks.new_images.finished import Finished
from tasks.new_images.scorer import Scorer
from tasks.report.matches import matches
from tasks.report.source import Source

FPR = 0.2
SPADE = "spade(k_image=3, k_gallery=2)"
LABELS = (
    SPADE,
    "spade(gallery='random', k_image=3, k_gallery=2)",
    "rad(k_gallery=3, image_rule='unrestricted')",
    "anomalydino",
    "dn2",
    "nearest_neighbor(limit=300)",
    "one_class_svm(limit=100)",
    "padim(levels=(8, 16), dimensions=5)",
    "patchcore(dimension=16, projection=8)",
    "ensemble(methods=('dn2', 'spade(k_image=3, k_gallery=2)', 'patchcore(dimension=16, projection=8)'))",
)
RANKS = "ensemble(methods=('dn2', 'spade(k_image=3, k_gallery=2)'), rule='ranks')"


@pytest.fixture(scope="module")
def folder(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A dataset and a store with a run by every method."""
    folder = tmp_path_factory.mktemp("methods")
    write_category(folder / "data", "nut", train=7)
    evaluate(str(folder / "data"), str(folder / "store"), settings(), run_id="one", methods=[*LABELS, RANKS])
    return folder


def test_every_method_is_tried() -> None:
    assert {parse_method(label).name for label in LABELS} == METHODS.keys()


@pytest.mark.parametrize("label", LABELS)
def test_an_image_has_the_scores_of_the_runs_table(folder: Path, label: str) -> None:
    label = parse_method(label).label
    results = Results(folder / "store")
    scorer = Scorer(str(folder / "store"), "one", method=label, fpr=FPR)
    assert scorer.describe()["method"] == label
    near = results.neighbors("one")
    for row in results.rows("images", "one", label):
        path = folder / "data" / row["image_id"]
        found = scorer.score(path)
        assert found.score_embedding == row["score_embedding"]
        assert found.score_map == row["score_map"]
        assert found.verdict in ("normal", "anomalous")
        mine = near[(near["method"] == label) & (near["image_id"] == row["image_id"])].sort_values("rank")
        assert [each.image_id for each in found.neighbors] == mine["neighbor_id"].tolist()
        if found.anomaly_map is None:
            assert not parse_method(label).has_map
            assert scorer.mask(found) is None
        else:
            expected = results.anomaly_map("one", row["image_id"], label)
            np.testing.assert_array_equal(found.anomaly_map, expected)
            assert scorer.mask(found) is not None


@pytest.mark.parametrize("label", [label for label in LABELS if parse_method(label).correspondence])
def test_the_best_match_is_that_of_the_report(folder: Path, label: str) -> None:
    """What the page of a test image says, a new image of the same content is told."""
    source = Source(str(folder / "store"), "one", parse_method(label).label)
    (category,) = source.categories
    part, settled = source.manifest.of("nut"), source.settled(category["train"])
    method = next(member for member in settled.members if member.correspondence)
    scorer = Scorer(str(folder / "store"), "one", method=source.label, fpr=FPR)
    with ThreadPoolExecutor(1) as pool:
        found = matches(source, source.scores(category), part.test(), part.train(), method, pool)
    for entry in part.test()[:3]:
        mine = scorer.matches(scorer.score(folder / "data" / entry.image_id))
        theirs = found[entry.image_id]
        assert not isinstance(theirs, str)
        assert len(mine) == len(theirs) > 0
        for one, other in zip(mine, theirs, strict=True):
            assert (one.levels, one.at, one.there) == (other.levels, other.at, other.there)
            assert (one.window, one.distance) == (other.window, other.distance)
            assert one.training.image_id == other.training.image_id


def test_the_picture_of_a_match_has_a_row_a_grid(folder: Path, tmp_path: Path) -> None:
    label = parse_method("rad(k_gallery=3, image_rule='unrestricted')").label
    scorer = Scorer(str(folder / "store"), "one", method=label, fpr=FPR)
    (row,) = score_files(scorer, [str(folder / "data/nut/test/square/000.png")], str(tmp_path))
    assert len(row["matches"]) == len(scorer.scoring.settled.reads)
    assert {match["measure"] for match in row["matches"]} == {"1 - cosine"}
    picture = np.asarray(Image.open(row["match"]))
    assert picture.shape == (len(row["matches"]) * TILE, 2 * TILE, 3)


@pytest.mark.parametrize("label", LABELS)
def test_thresholds_are_kept_under_the_methods_own_key(folder: Path, label: str) -> None:
    scoring = Finished.of(str(folder / "store"), "one", method=parse_method(label).label).scoring
    found = threshold(scoring, "embedding", FPR)
    assert found.value == conformal_threshold(held_out_scores(scoring, "embedding", found.images), FPR)
    assert Path(str(scoring.part.store.held_out(scoring.key))).exists()
    assert (
        scoring.key
        == Results(folder / "store").rows("categories", "one", scoring.method.label)[0]["score_key"]
    )


def test_a_methods_held_out_score_is_that_of_a_fit_without_the_image(
    folder: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    label = "patchcore(dimension=16, projection=8)"
    scoring = Finished.of(str(folder / "store"), "one", method=label).scoring
    keys = sorted(scoring.part.train)
    held = dict(zip(keys, held_out_scores(scoring, "map", len(keys)), strict=True))
    images = {image.key: image for image in scoring.part.manifest.train()}
    for number in range(len(keys) // 5 + 1):  # the first fold
        if number * 5 // len(keys) == 0:
            source = folder / "data" / images[keys[number]].image_id
            target = tmp_path / "data" / "nut" / "test" / "good" / f"moved{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    moved = {path.read_bytes() for path in (tmp_path / "data").rglob("*.png")}
    for path in (folder / "data" / "nut" / "train").rglob("*.png"):
        if path.read_bytes() not in moved:
            target = tmp_path / "data" / path.relative_to(folder / "data")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    evaluate(str(tmp_path / "data"), str(tmp_path / "store"), settings(), run_id="two", methods=[label])
    rows = Results(tmp_path / "store").rows("images", "two")
    assert rows
    assert all(row["score_map"] == held[row["sha256"]] for row in rows)


def test_an_ensemble_joins_what_its_methods_say_of_held_out_images(folder: Path) -> None:
    scoring = Finished.of(str(folder / "store"), "one", method=parse_method(LABELS[-1]).label).scoring
    assert isinstance(scoring, EnsembleScoring)
    keys = sorted(scoring.part.train)[:3]
    joined = [record.score_embedding for record, _ in scoring.held_out(keys, maps=True)]
    members = [
        [record.score_embedding for record, _ in each.held_out(keys, maps=True)] for each in scoring.members
    ]
    scales = [image for image, _ in scoring._scales]
    for place, value in enumerate(joined):
        parts = [
            (scores[place] - scale.zero) / scale.unit for scores, scale in zip(members, scales, strict=True)
        ]
        assert value == pytest.approx(sum(parts) / len(parts), rel=1e-12)


def test_ranks_of_one_image_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="ranks the test images of a run, and one image has no rank"):
        Scorer(str(folder / "store"), "one", method=parse_method(RANKS).label, fpr=FPR)


def test_a_rule_by_the_map_is_refused_without_one(folder: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="method dn2 scores whole images, without a map: use embedding"
    ):
        Scorer(str(folder / "store"), "one", method="dn2", fpr=FPR, rule="map")
