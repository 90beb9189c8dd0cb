from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import write_category

from flows.evaluate import evaluate
from storage.datasets.images import UnreadableImageError, decode_image
from storage.errors import DatasetError, StoreError
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.metrics.conformal import conformal_threshold
from tasks.methods.fitted import FeatureScoring
from tasks.methods.scoring import Scoring
from tasks.methods.thresholds import Rule, held_out_scores, threshold
from tasks.new_images.files import find_images, score_files
from tasks.new_images.finished import Finished
from tasks.new_images.scorer import Scorer

FPR = 0.2
SPADE = "spade(k_image=3, k_gallery=2)"


@pytest.fixture(scope="module")
def folder(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    resnet18_weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A dataset in which one image is there twice, weights, and a store with a run; not to be changed."""
    folder = tmp_path_factory.mktemp("scorer")
    write_category(folder / "data", "nut", train=6)
    write_category(folder / "data", "bolt", train=5, side=33, seed=3)
    train = folder / "data" / "nut" / "train" / "good"
    shutil.copy(train / "001.png", train / "twin.png")
    shutil.copy(resnet18_weights, folder / "weights.pth")
    configuration = settings(weights=str(folder / "weights.pth"), dtype="float16")
    evaluate(str(folder / "data"), str(folder / "store"), configuration, run_id="one", methods=[SPADE])
    return folder


@pytest.fixture
def store(folder: Path, tmp_path: Path) -> Path:
    """A copy of the store, to be changed."""
    return Path(shutil.copytree(folder / "store", tmp_path / "store"))


def scoring_at(store: Path, category: str, method: str | None = None) -> Scoring:
    return Finished.of(str(store), "one", category, method).scoring


@pytest.mark.parametrize("category", ["nut", "bolt"])
def test_an_image_has_exactly_the_scores_of_the_runs_table(folder: Path, category: str) -> None:
    results = Results(folder / "store")
    scorer = Scorer(str(folder / "store"), "one", category, fpr=FPR)
    neighbors = results.neighbors().set_index("image_id")
    rows = [row for row in results.rows("images") if row["category"] == category]
    assert len(rows) == 5
    for row in rows:
        path = folder / "data" / row["image_id"]
        content = path.read_bytes()
        pixels = decode_image(content)[0]  # not found in the store: it passes through the network
        for image in (path, str(path), content, pixels):
            found = scorer.score(image)
            assert (found.score_embedding, found.score_map) == (row["score_embedding"], row["score_map"])
            np.testing.assert_array_equal(found.anomaly_map, results.anomaly_map("one", row["image_id"]))
            known = neighbors.loc[row["image_id"]].sort_values("rank")
            assert [n.image_id for n in found.neighbors] == known["neighbor_id"].tolist()
            assert [n.squared_distance for n in found.neighbors] == known["squared_distance"].tolist()


def test_a_new_image_is_one_that_the_store_has_never_seen(folder: Path) -> None:
    path = folder / "data" / "nut" / "test" / "square" / "000.png"
    pixels = decode_image(path.read_bytes())[0]
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in scorer.scoring.part.features
    assert (
        hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        not in scorer.scoring.part.features
    )
    other = pixels.copy()
    other[18:22, 20:25] = (255, 0, 0)
    assert scorer.score(other).score_map != scorer.score(pixels).score_map


def test_the_threshold_of_embeddings_is_that_of_a_plain_loop_over_held_out_images(folder: Path) -> None:
    scoring = scoring_at(folder / "store", "nut")
    train = scoring.part.train
    assert len(train) == 7
    keys = sorted(set(train))
    assert len(keys) == 6
    rows = scoring.part.features.embeddings(train).astype(float)
    expected = []
    for key in keys:
        query = rows[train.index(key)]
        others = [row for row, other in zip(rows, train, strict=True) if other != key]
        expected.append(np.mean(sorted(((row - query) ** 2).sum() for row in others)[:3]))
    found = threshold(scoring, "embedding", FPR)
    assert found.images == 6
    assert found.value == pytest.approx(conformal_threshold(expected, FPR), rel=1e-12)


def test_held_out_maps_are_those_of_a_run_without_the_image(
    folder: Path, store: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    """The image is moved from the training to the test images, and the run does the rest."""
    scoring = scoring_at(store, "bolt")
    keys = sorted(scoring.part.train)
    scores = dict(zip(keys, held_out_scores(scoring, "map", 5), strict=True))
    highest = dict(zip(keys, held_out_scores(scoring, "pixel", 5), strict=True))
    data = Path(shutil.copytree(folder / "data", tmp_path / "data"))
    moved = data / "bolt" / "test" / "good" / "moved.png"
    (data / "bolt" / "train" / "good" / "002.png").rename(moved)
    configuration = settings(weights=str(folder / "weights.pth"), dtype="float16")
    evaluate(str(data), str(store), configuration, ["bolt"], run_id="two", methods=[SPADE])
    key = hashlib.sha256(moved.read_bytes()).hexdigest()
    results = Results(store)
    row = results.images("two").set_index("image_id").loc["bolt/test/good/moved.png"]
    assert scores[key] == row["score_map"]
    assert highest[key] == float(results.anomaly_map("two", "bolt/test/good/moved.png").max())


def test_a_threshold_is_computed_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scoring = scoring_at(store, "nut")
    rules: tuple[Rule, ...] = ("embedding", "map", "pixel")
    before = [threshold(scoring, rule, FPR) for rule in rules]
    path = Path(str(scoring.part.store.held_out(scoring.key)))
    content = path.read_bytes()

    def refuse(*_: object) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(FeatureScoring, "held_out", refuse)
        again = scoring_at(store, "nut")
        assert [threshold(again, rule, FPR) for rule in rules] == before
        assert threshold(again, "map", 0.5).value is not None
    path.write_bytes(content[:-9])
    assert [threshold(scoring, rule, FPR) for rule in rules] == before
    assert path.read_bytes() == content


def test_the_verdict_is_that_of_the_rule_at_its_threshold(folder: Path) -> None:
    bright = np.full((40, 49, 3), 255, np.uint8)
    known = decode_image((folder / "data" / "nut" / "train" / "good" / "001.png").read_bytes())[0]
    for rule in ("embedding", "map"):
        scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR, rule=rule)
        assert scorer.score(bright).verdict == "anomalous"
        found = scorer.score(known)
        assert found.verdict == "normal"
        assert found.threshold.rule == rule


def test_too_few_normal_images_give_scores_and_the_reason_why_no_verdict(folder: Path) -> None:
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=0.01)
    found = scorer.score(folder / "data" / "nut" / "test" / "square" / "000.png")
    assert found.score_map is not None
    assert found.verdict is None
    assert scorer.mask(found) is None
    assert found.threshold.reason == (
        "a false-positive rate of 0.01 needs 99 normal images, and nut has 6: name a rate of 0.1429 or more, "
        "or add normal images"
    )
    assert Scorer(str(folder / "store"), "one", "nut", fpr=0.1429).threshold("embedding").value is not None


def test_map_and_mask_have_the_size_of_the_image(folder: Path) -> None:
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR)
    found = scorer.score(folder / "data" / "nut" / "test" / "square" / "000.png")
    heat, mask = found.heat_map(), scorer.mask(found)
    assert mask is not None
    assert heat is not None
    assert heat.shape == mask.shape == (40, 49)
    assert np.isnan(heat[:2]).all()
    assert not mask[:2].any()
    limit = scorer.threshold("pixel").value
    assert limit is not None
    assert (mask == (np.nan_to_num(heat, nan=-1) > limit)).all()
    assert 0 < np.isnan(heat).mean() < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "category is not given: run one has bolt, nut; name one of them"),
        ({"category": "screw"}, "category is 'screw': run one has bolt, nut"),
        ({"category": "nut", "rule": "pixel"}, "rule is 'pixel': it is one of embedding, map"),
        ({"category": "nut", "fpr": 0}, "fpr is 0: it is a false-positive rate"),
    ],
)
def test_a_wrong_argument_is_named(folder: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Scorer(str(folder / "store"), "one", **arguments)  # type: ignore[arg-type]


def test_weights_that_are_gone_or_changed_are_named_with_the_remedy(
    folder: Path, store: Path, tmp_path: Path
) -> None:
    pixels = np.zeros((40, 49, 3), np.uint8)
    changed = tmp_path / "changed.pth"
    changed.write_bytes((folder / "weights.pth").read_bytes() + b" ")
    with pytest.raises(ConfigurationError, match=r"changed.pth': not the file that run one used.*--weights"):
        Scorer(str(store), "one", "nut", fpr=FPR, weights=str(changed)).score(pixels)
    with pytest.raises(
        ConfigurationError, match=r"gone.pth': no such file: run one used it; restore it, or name"
    ):
        Scorer(str(store), "one", "nut", fpr=FPR, weights=str(tmp_path / "gone.pth")).score(pixels)
    moved = tmp_path / "moved.pth"
    shutil.copy(folder / "weights.pth", moved)
    assert Scorer(str(store), "one", "nut", fpr=FPR, weights=str(moved)).score(pixels).score_map


def test_what_the_store_has_no_more_is_named_with_the_remedy(store: Path) -> None:
    shutil.rmtree(store / "features")
    with pytest.raises(
        StoreError, match=r"features of run one, category nut, are no longer in .*: evaluate .* again"
    ):
        Scorer(str(store), "one", "nut", fpr=FPR)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("absent.png", "absent.png: No such file"),
        (b"", "the file is empty"),
        (b"text", "not an image"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\) and type uint8: give \(H, W, 3\) uint8"),
        (np.zeros((4, 4, 3), float), "type float64"),
    ],
)
def test_what_is_no_image_is_named(folder: Path, image: object, message: str) -> None:
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR)
    with pytest.raises(UnreadableImageError, match=message):
        scorer.score(image)  # type: ignore[arg-type]


@pytest.fixture
def new(folder: Path, tmp_path: Path) -> Path:
    """A folder of new images, one of them broken, one of another name below, and a file that is none."""
    new = tmp_path / "new"
    (new / "below").mkdir(parents=True)
    shutil.copy(folder / "data" / "nut" / "test" / "square" / "000.png", new / "a.png")
    shutil.copy(folder / "data" / "nut" / "test" / "good" / "000.png", new / "below" / "a.PNG")
    (new / "broken.jpg").write_bytes(b"text")
    (new / "notes.txt").write_text("none")
    return new


def test_a_folder_is_scored_with_its_broken_image_named_and_pictures_beside(folder: Path, new: Path) -> None:
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR)
    for _ in range(2):  # the second time the pictures are there, and are not scored
        rows = list(score_files(scorer, [str(new)], output=str(new)))
        assert [Path(row["image"]).relative_to(new).as_posix() for row in rows] == [
            "a.png",
            "below/a.PNG",
            "broken.jpg",
        ]
        assert rows[2]["reason"] == "not an image"
        assert "score_map" not in rows[2]
    assert rows[1]["heat_map"] == str(new / "below" / "a.PNG.heat.png")
    with Image.open(rows[0]["heat_map"]) as heat, Image.open(rows[0]["mask"]) as mask:
        assert (heat.mode, heat.size, mask.mode, mask.size) == ("RGBA", (49, 40), "L", (49, 40))
        assert set(np.unique(np.asarray(mask))) <= {0, 64, 255}
        assert np.asarray(heat)[0, 0, 3] == 0
        assert np.asarray(heat)[20, 24, 3] == 255


def test_pictures_of_files_with_one_name_do_not_meet(folder: Path, new: Path, tmp_path: Path) -> None:
    scorer = Scorer(str(folder / "store"), "one", "nut", fpr=FPR)
    names = [str(new / "a.png"), str(new / "below")]
    rows = list(score_files(scorer, names, output=str(tmp_path / "out")))
    assert [row["heat_map"] for row in rows] == [
        str(tmp_path / "out" / "a.png.heat.png"),
        str(tmp_path / "out" / "below" / "a.PNG.heat.png"),
    ]


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no image in .*: looked for \.bmp"):
        find_images([str(tmp_path)])
