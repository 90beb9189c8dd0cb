from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import spade
from scipy.spatial.distance import cdist
from tiny import write_campus, write_category

from flows.cli.screen.runs import print_reproduction
from flows.evaluate import IncompleteRunError, evaluate
from flows.reproduce import reproduce
from storage.computed.features import Features
from storage.computed.scores import Scores
from storage.datasets.dataset import Dataset, read_mask
from storage.datasets.layouts.frames import Frames
from storage.datasets.manifest import ImageFile
from storage.errors import DatasetError, StoreError
from storage.repair import repair
from storage.results.reader import Results
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.matching.pyramid import concatenate, smooth
from tasks.core.methods.spade import Spade
from tasks.core.networks.preprocess import align_mask
from tasks.methods import fitted

pytestmark = pytest.mark.usefixtures("prefect_server")

TRAIN, TEST = 3, 5
POINTS = [f"paper-{number}" for number in range(1, 7)]
Settings = Callable[..., Configuration]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "bottle", train=TRAIN, seed=7)
    write_category(root, "grid", train=TRAIN, side=52, seed=2)
    write_category(root, "thing", seed=3)
    return root


@pytest.fixture(scope="module")
def store(dataset: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the reproduction "paper" of two categories; not to be changed."""
    store = tmp_path_factory.mktemp("reproduced") / "store"
    assert reproduce(str(dataset), str(store), settings(), run_id="paper") == "paper"
    return store


def computed(store: Path, run: str) -> dict[str, int]:
    return dict(Results(store).stages(run).groupby("step")["computed"].sum())


def row_of(store: Path, table: int, category: str, method: str = "SPADE") -> dict[str, Any]:
    rows = Results(store).rows("reproduction")
    found = [
        row for row in rows if (row["table"], row["category"], row["method"]) == (table, category, method)
    ]
    assert len(found) == 1
    return found[0]


def test_each_figure_is_that_of_a_run_with_its_settings(
    dataset: Path, store: Path, settings: Settings, tmp_path: Path
) -> None:
    """Which the store has scored already: an evaluation with these settings scores nothing."""
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    changed: list[tuple[int, str, dict[str, Any]]] = [
        (2, "SPADE", {"k_image": 50, "k_gallery": 50}),
        (6, "SPADE 28x28 only", {"k_image": 50, "k_gallery": 50, "levels": (8,)}),
        (7, "SPADE K=10 random normals", {"k_image": 10, "k_gallery": 10, "gallery": "random"}),
    ]
    for number, (table, method, changes) in enumerate(changed):
        methods = [Spade(**changes).label]
        evaluate(
            str(dataset), str(copy), settings(), ["bottle", "grid"], run_id=f"own-{number}", methods=methods
        )
        assert computed(copy, f"own-{number}")["score"] == 0
        grid = Results(copy).rows("categories", f"own-{number}")[1]
        expected = grid["pixel_rocauc" if table == 2 else "pro"]
        assert row_of(copy, table, "grid", method)["ours"] == expected
    assert row_of(copy, 1, "average")["ours"] == pytest.approx(
        Results(copy).categories("own-0")["image_rocauc_embedding"].mean()
    )


def test_features_are_extracted_once_and_other_categories_left_out(store: Path) -> None:
    assert Results(store).runs()["run"].tolist() == POINTS
    assert computed(store, "paper-1")["extract"] == 2 * (TRAIN + TEST)
    assert all(computed(store, run)["extract"] == 0 for run in POINTS[1:])
    assert Results(store).categories("paper-1")["category"].tolist() == ["bottle", "grid"]
    frame = Results(store).reproduction()
    assert str(frame["ours"].dtype) == "Float64"
    assert str(frame["table"].dtype) == "int64"
    assert frame["run"].unique().tolist() == ["paper"]
    assert frame["ours"].notna().sum() == 1 + 2 * 4 + 3 * 4 + 2 * 2


def test_a_killed_reproduction_goes_on_and_ends_with_the_same_tables(
    dataset: Path, store: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Not caught as a category's failure."""

    begun = Path(shutil.copytree(store, tmp_path / "store"))
    for folder in ("runs", "scores", "reproductions"):
        shutil.rmtree(begun / folder)
    monkeypatch.setattr(fitted, "BATCH_SIZE", 2)
    append, recorded = Scores.append, Counter[str]()

    def dying(self: Scores, scores: Any, maps: Any) -> None:
        if recorded.total() >= 20:
            raise Killed
        append(self, scores, maps)
        recorded.update(score.sha256 for score in scores)

    monkeypatch.setattr(Scores, "append", dying)
    with pytest.raises(Killed):
        reproduce(str(dataset), str(begun), settings(), run_id="paper")
    with pytest.raises(StoreError, match=r"no reproduction 'latest' in .*: start one with `spade reproduce`"):
        Results(begun).reproduction()
    monkeypatch.setattr(Scores, "append", append)
    reproduce(str(dataset), str(begun), settings(), run_id="paper")
    whole = sum(computed(store, run)["score"] for run in POINTS)
    assert sum(computed(begun, run)["score"] for run in POINTS) == whole - recorded.total() > 0
    assert sum(computed(begun, run)["extract"] for run in POINTS) == 0
    path = Path("reproductions") / "paper.parquet"
    assert (begun / path).read_bytes() == (store / path).read_bytes()
    runs = Results(begun).runs()
    (begun / path).unlink()
    reproduce(str(dataset), str(begun), settings(), run_id="paper")
    assert Results(begun).runs().equals(runs)
    assert (begun / path).read_bytes() == (store / path).read_bytes()


def test_a_category_that_fails_is_a_row_with_its_reason(
    dataset: Path, store: Path, settings: Settings, tmp_path: Path
) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / "grid" / "train")
    (root / "grid" / "train" / "good").mkdir(parents=True)
    with pytest.raises(IncompleteRunError, match=r"grid: .*no usable training image"):
        reproduce(str(root), str(copy), settings(), run_id="again")
    assert "no usable training image" in row_of(copy, 3, "grid")["reason"]
    assert row_of(copy, 3, "bottle")["difference"] is not None
    assert row_of(copy, 3, "average of these")["categories"] == 1


def test_a_dataset_without_a_category_of_the_paper_is_refused(
    dataset: Path, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"no figures for thing in .*: name a folder .*bottle, cable"):
        reproduce(str(dataset), str(tmp_path / "store"), settings(), ["thing"])


def test_people_see_each_table_what_is_missing_and_what_was_settled(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_reproduction(str(store), "paper", "table")
    screen = capsys.readouterr().out
    for text in (
        *("Table 1: image ROCAUC", "Table 2: pixel ROCAUC", "Table 3: PRO", "Table 6: PRO", "Table 7: PRO"),
        "missing, category not in the dataset: carpet, leather, tile",
        "2 of 15 categories",
        "average of these",
        "not comparable with the paper's figures",
        "backbone is resnet18, published with wide_resnet50_2",
        "metric_resolution is 64, published with 256",
        "bottle: 3 for training, 2 normal and 3 anomalous to test; MVTec AD has 209",
        "section 3.3, how the coarse levels reach the finest grid when they are concatenated: bilinear",
        "reproductions/paper.parquet",
    ):
        assert text in screen
    assert "thing" not in screen
    print_reproduction(str(store), "paper", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    options = ("--table", "reproduction", "--format", "json")
    objects = json.loads(spade("results", "--store", store, *options)[1])
    assert len(rows) == len(objects) == 85 + 5
    assert list(rows[0]) == list(objects[0])
    with pytest.raises(StoreError, match=r"no reproduction 'other' in .*: it has paper"):
        Results(store).reproduction("other")


def test_a_damaged_table_is_dropped(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store, tmp_path / "store"))
    path = copy / "reproductions" / "paper.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    assert [finding.what for finding in repair(Store.open(copy))] == ["reproduction paper"]
    assert not path.exists()


def test_frames_are_scored_as_the_paper_does_those_of_the_campus(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """K = 1 on whole frames at 256x256: levels of 64, 32 and 16 cells; both metrics by plain arithmetic."""
    root, store = tmp_path / "campus", tmp_path / "store"
    write_campus(root)
    assert isinstance(Dataset.at(root).recognised().layout, Frames)
    reproduce(str(root), str(store), settings(), run_id="paper")
    results = Results(store)
    run, rows = results.rows("runs")[0], results.rows("images", "paper-1")
    features = Features(Store.open(store), run["feature_key"])
    assert (run["protocol"], run["k_image"], run["k_gallery"]) == ("full256", 1, 1)
    names = [row["image_id"].removeprefix("testing/frames/") for row in rows]
    assert names == [f"{name}.png" for name in ("01_0001/000", "01_0001/005", "01_0001/010")] + [
        "02_0001/000.png",
        "02_0001/005.png",
    ]
    assert [row["anomalous"] for row in rows] == [False, True, True, False, False]

    manifest = [
        ImageFile(**{name: row[name] for name in ImageFile.__dataclass_fields__})
        for row in results.rows("manifest", "paper-1")
    ]
    train = [entry.key for entry in manifest if entry.split == "train"]
    embeddings = features.embeddings([row["sha256"] for row in rows]), features.embeddings(train)
    squared = cdist(*embeddings, "sqeuclidean")
    np.testing.assert_allclose([row["score_embedding"] for row in rows], squared.min(axis=1), rtol=1e-4)

    shown = rows[1]
    pyramids = [
        features.pyramid(key, (4, 8, 16)) for key in (shown["sha256"], train[int(squared[1].argmin())])
    ]
    assert [level.shape[:2] for level in pyramids[0]] == [(64, 64), (32, 32), (16, 16)]
    patches = [
        concatenate([torch.from_numpy(level) for level in levels], "bilinear").flatten(0, 1).double()
        for levels in pyramids
    ]
    nearest = torch.cdist(patches[0], patches[1]).amin(dim=1).square().reshape(64, 64).float().numpy()
    anomaly_map = results.anomaly_map("paper-1", shown["image_id"])
    np.testing.assert_allclose(anomaly_map, smooth([nearest], 64, 1.0), rtol=1e-3)

    def rocauc(values: Any, positive: Any) -> float:
        high, low = np.asarray(values)[positive], np.asarray(values)[~np.asarray(positive)]
        wins = np.searchsorted(np.sort(low), high)  # no ties among these
        return float(wins.sum() / (len(high) * len(low)))

    dataset, how = Dataset.at(root, Frames()), Configuration(protocol="full256").preprocessing
    tests = [entry for entry in manifest if entry.split == "test"]
    maps = [results.anomaly_map("paper-1", entry.image_id) for entry in tests]
    masks = [align_mask(read_mask(dataset, entry), how, 64) for entry in tests]
    labels = np.array([row["anomalous"] for row in rows])
    image, pixel = row_of(store, 4, "shanghaitech_campus"), row_of(store, 5, "shanghaitech_campus")
    assert image["ours"] == pytest.approx(rocauc(squared.min(axis=1), labels))
    assert pixel["ours"] == pytest.approx(rocauc(np.ravel(maps), np.ravel(masks)))
    assert pixel["difference"] == pytest.approx(pixel["ours"] - 0.899)
    print_reproduction(str(store), "paper", "table")
    screen = capsys.readouterr().out
    assert "Table 4: ShanghaiTech Campus, ROCAUC of frames, K = 1" in screen
    assert "not normalised by video" in screen
    assert "protocol is" not in screen


def test_the_command_knows_frames_by_their_folders(resnet18_weights: Path, tmp_path: Path) -> None:
    write_campus(tmp_path / "campus", train=2, lengths=(6,))
    options = ["--backbone", "resnet18", "--weights", str(resnet18_weights), "--dtype", "float32"]
    options += ["--store", str(tmp_path / "store"), "--run-id", "command", "--format", "json"]
    code, out, error = spade("reproduce", tmp_path / "campus", *options)
    assert code == 0, error
    rows = json.loads(out)
    assert [(row["run"], row["table"], row["category"]) for row in rows] == [
        ("command", 4, "shanghaitech_campus"),
        ("command", 5, "shanghaitech_campus"),
    ]
    assert all(row["differs"] == ["backbone is resnet18, published with wide_resnet50_2"] for row in rows)
    assert all(0 <= row["ours"] <= 1 for row in rows)


def test_the_command_takes_only_what_the_paper_leaves_open(tmp_path: Path) -> None:
    _, shown, _ = spade("reproduce", "--help")
    for option in ("--backbone", "--weights", "--upsampling", "--gallery-seed", "--dtype", "--run-id"):
        assert option in shown
    for option in ("--k-image", "--level", "--protocol", "--sigma", "--fusion"):
        assert option not in shown
    code, _, error = spade("reproduce", tmp_path / "absent")
    assert code == 2
    assert "absent" in error
