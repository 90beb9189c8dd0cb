from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import spade, write_category

from flows.evaluate import IncompleteRunError
from flows.evaluate import evaluate as evaluate_by
from flows.sweep import sweep as sweep_by
from storage.computed.features import Features
from storage.computed.scores import Scores
from storage.datasets.dataset import Dataset
from storage.errors import StoreError
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.grid import Point, grid
from tasks.core.matching import matching
from tasks.job import Request
from tasks.methods import fitted
from tasks.methods.fitted import FeatureScoring, score_jointly
from tasks.methods.index import index
from tasks.run.crops import CROPS
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare

pytestmark = pytest.mark.usefixtures("prefect_server")

TABLES = ("categories", "summary", "images", "neighbors", "manifest")
TRAIN, TEST = 6, 5
SCORED = 2  # test images, where points are scored without a flow
SPADE = spade().label
Settings = Callable[..., Configuration]


def evaluate(*arguments: Any, methods: Sequence[str] = (SPADE,), **more: Any) -> str:
    """The flow, by SPADE with few neighbours."""
    return str(evaluate_by(*arguments, methods=methods, **more))


def sweep(*arguments: Any, methods: Sequence[str] = (SPADE,), **more: Any) -> str:
    """The flow, around SPADE with few neighbours."""
    return str(sweep_by(*arguments, methods=methods, **more))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "007", train=TRAIN, seed=7)
    write_category(root, "nut", train=TRAIN, side=52, seed=2)
    return root


@pytest.fixture(scope="module")
def extracted(dataset: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with features and indices, and no scores; not to be changed."""
    store = tmp_path_factory.mktemp("extracted") / "store"
    job = prepare.fn(Request(Dataset.at(dataset), str(store), settings(), run_id="features"))
    ingest.fn(job)
    for category in job.manifest().categories():
        _, part = extract.fn(job.part(category))
        index.fn(part)
    return store


@pytest.fixture
def fresh(extracted: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes copies of that store, to be changed."""
    numbers = iter(range(9))
    return lambda: Path(shutil.copytree(extracted, tmp_path / f"store{next(numbers)}"))


def points(base: Configuration, axes: dict[str, Any]) -> list[Point]:
    return grid(Point(base, (spade(),)), axes)


def scorings(
    dataset: Path, store: Path, base: Configuration, axes: dict[str, Any], **more: Any
) -> list[FeatureScoring]:
    """SPADE at each point of a grid, on a category."""
    job = prepare.fn(Request(Dataset.at(dataset), str(store), base, run_id="jobs"))
    ingest.fn(job)
    part = job.part("007")
    part = part.without({image.image_id: "two are enough" for image in part.test_images[SCORED:]})
    return [
        FeatureScoring(part.of(replace(job, configuration=point.configuration, **more)), *point.methods)
        for point in points(base, axes)
    ]


def computed(store: Path, run: str) -> dict[str, int]:
    return dict(Results(store).stages(run).groupby("step")["computed"].sum())


def tables(store: Path, run: str) -> dict[str, bytes]:
    return {name: Path(Results(store).folder(run) / f"{name}.parquet").read_bytes() for name in TABLES}


@pytest.mark.parametrize(
    "axes",
    [
        {"k": [1, 3, 9], "kappa": [1, 9], "fusion": ["average", "concatenate"], "upsampling": ["nearest"]},
        {"levels": [(4, 8, 16), (8, 16), (16,)], "upsampling": ["bilinear", "nearest"], "sigma": [0.0, 1.0]},
        {"gallery": ["nearest", "random"], "gallery_seed": [0, 1], "k_gallery": [1, 4], "k_image": [2, 5]},
        {"fusion": ["average"], "levels": [(4, 16), (4, 8), (8,)], "distance": ["squared", "euclidean"]},
    ],
)
def test_points_scored_together_have_the_scores_of_each_on_its_own(
    axes: dict[str, Any], dataset: Path, fresh: Callable[[], Path], settings: Settings
) -> None:
    together = scorings(dataset, fresh(), settings(), axes)
    alone = scorings(dataset, fresh(), settings(), axes)
    score_jointly(together)
    for one, other in zip(together, alone, strict=True):
        score_jointly([other])
        assert one.key == other.key
        for key in one.part.scored:
            assert one.scores.read(key) == other.scores.read(key)
            np.testing.assert_array_equal(one.scores.anomaly_map(key), other.scores.anomaly_map(key))


def test_each_point_is_the_run_that_evaluate_publishes(
    dataset: Path, fresh: Callable[[], Path], settings: Settings
) -> None:
    store, other = fresh(), fresh()
    axes: dict[str, list[Any]] = {
        "k": [1, 9],
        "fusion": ["average", "concatenate"],
        "gallery": ["nearest", "random"],
    }
    assert sweep(str(dataset), axes, str(store), settings(), ["007"], "grid") == "grid"
    for number, point in enumerate(points(settings(), axes), start=1):
        methods = [method.label for method in point.methods]
        arguments = (str(dataset), str(other), point.configuration, ["007"], f"grid-{number}")
        evaluate(*arguments, methods=methods)
        assert tables(store, f"grid-{number}") == tables(other, f"grid-{number}")
    ours, theirs = (Results(path).runs().sort_values("run") for path in (store, other))
    assert ours["fingerprint"].tolist() == theirs["fingerprint"].tolist()
    assert (ours["sweep"] == "grid").all()
    assert theirs["sweep"].isna().all()
    assert list((store / "jobs").iterdir()) == [store / "jobs" / "features"]


def test_a_sweep_in_pandas_has_a_row_a_point_and_category(
    dataset: Path, fresh: Callable[[], Path], settings: Settings
) -> None:
    store = fresh()
    sweep(str(dataset), {"k": [1, 2, 9], "levels": [[16, 8], [16]]}, str(store), settings(), run_id="grid")
    results = Results(store)
    frame = results.sweep()
    assert frame["run"].tolist() == [f"grid-{number}" for number in range(1, 7) for _ in range(2)]
    assert frame["category"].tolist() == ["007", "nut"] * 6
    assert frame["levels"].tolist() == ["8,16"] * 6 + ["16"] * 6
    assert frame["k_gallery"].tolist() == [1, 1, 2, 2, 9, 9] * 2
    for run, row in frame.groupby("run"):
        assert row["pro"].tolist() == results.categories(run)["pro"].tolist()
    by_k = frame.query("levels == '16'").groupby("k_gallery")["pixel_rocauc"].mean()
    assert by_k[9] == results.summary("grid-6").set_index("metric").loc["pixel_rocauc", "mean"]


def test_a_sweep_and_evaluate_find_each_others_scores(
    dataset: Path, fresh: Callable[[], Path], settings: Settings
) -> None:
    store = fresh()
    evaluate(str(dataset), str(store), settings(), run_id="before", methods=[spade(k_image=2).label])
    assert (computed(store, "before")["extract"], computed(store, "before")["score"]) == (0, 2 * TEST)
    sweep(str(dataset), {"k": [1, 2, 3]}, str(store), settings(), run_id="grid")
    assert [computed(store, f"grid-{number}")["score"] for number in (1, 2, 3)] == [2 * TEST, 0, 2 * TEST]
    evaluate(str(dataset), str(store), settings(), run_id="after", methods=[spade(k_gallery=3).label])
    assert set(computed(store, "after").values()) == {0}
    assert Results(store).resolve("latest") == "after"
    sweep(str(dataset), {"k": [2, 3]}, str(store), settings(), run_id="smaller")
    assert Results(store).resolve("latest") == "after"
    assert Results(store).sweep()["run"].unique().tolist() == ["smaller-1", "smaller-2"]


def test_a_gallery_is_read_once_and_a_search_serves_every_k_and_kappa(
    dataset: Path, fresh: Callable[[], Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for a pyramid, an image is read for each test image anew; more would be reading twice."""
    counts: Counter[str] = Counter()
    read, search = Features.pyramid, matching._search

    def counted_read(self: Features, key: str, levels: Any) -> Any:
        counts["reads"] += 1
        return read(self, key, levels)

    def counted_search(*asked: Any) -> Any:
        found = search(*asked)
        offer = found.offer

        def counted_offer(image: Any) -> None:
            counts["offers"] += 1
            offer(image)

        monkeypatch.setattr(found, "offer", counted_offer)
        counts["searches"] += 1
        return found

    monkeypatch.setattr(Features, "pyramid", counted_read)
    monkeypatch.setattr(matching, "_search", counted_search)
    axes = {
        "k": [1, 2, 5],
        "kappa": [1, 3],
        "distance": ["squared", "euclidean"],
        "sigma": [0.0, 1.0],
        "fusion": ["average", "concatenate"],
        "levels": [(8, 16), (16,)],
    }
    together = scorings(dataset, fresh(), settings(), axes, memory_gib=1e-9)
    stages = score_jointly(together)
    assert counts["reads"] == SCORED * (1 + 5) + len(together)  # and how much each compares with
    parts = 3  # levels 8 and 16 together, 8 alone, 16 alone
    assert counts["searches"] == SCORED * parts
    assert counts["offers"] == SCORED * parts * 5
    assert len(together) == 96
    assert [stage.computed for (stage,) in stages] == [SCORED] * 96


def test_a_killed_sweep_goes_on_from_the_last_batch_of_each_point(
    dataset: Path, fresh: Callable[[], Path], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Not caught as a category's failure."""

    store, whole = fresh(), fresh()
    axes = {"k": [1, 2, 3], "kappa": [1, 2]}
    monkeypatch.setattr(fitted, "BATCH_SIZE", 2)
    sweep(str(dataset), axes, str(whole), settings(), ["007"], "night")
    append, recorded = Scores.append, Counter[str]()

    def dying(self: Scores, scores: Any, maps: Any) -> None:
        if recorded.total() >= 20:
            raise Killed
        append(self, scores, maps)
        recorded.update(score.sha256 for score in scores)

    monkeypatch.setattr(Scores, "append", dying)
    with pytest.raises(Killed):
        sweep(str(dataset), axes, str(store), settings(), ["007"], "night")
    assert recorded.total() == 20
    with pytest.raises(StoreError, match="has no finished run yet"):
        Results(store).sweep("night")
    monkeypatch.setattr(Scores, "append", append)
    sweep(str(dataset), axes, str(store), settings(), ["007"], "night")
    runs = [f"night-{number}" for number in range(1, 7)]
    assert sum(computed(store, run)["score"] for run in runs) == 6 * TEST - 20
    for run in runs:
        assert tables(store, run) == tables(whole, run)
    before = Results(store).runs()
    sweep(str(dataset), axes, str(store), settings(), ["007"], "night")
    assert Results(store).runs().equals(before)


def test_half_a_sweep_is_not_shown(dataset: Path, fresh: Callable[[], Path], settings: Settings) -> None:
    store = fresh()
    sweep(str(dataset), {"k": [1, 2]}, str(store), settings(), run_id="grid", categories=["nut"])
    (store / "runs" / "grid-2" / "run.parquet").unlink()
    with pytest.raises(StoreError, match=r"the sweep grid in .* has 1 of 2 points so far: .* --run-id grid"):
        Results(store).sweep("grid")
    with pytest.raises(StoreError, match=r"no finished sweep 'latest' in .*: start one with `spade sweep`"):
        Results(store).sweep()
    sweep(str(dataset), {"k": [1, 2]}, str(store), settings(), run_id="grid", categories=["nut"])
    assert len(Results(store).sweep()) == 2
    assert computed(store, "grid-2")["score"] == 0
    with pytest.raises(StoreError, match=r"run grid-1 in .* has another configuration or other data"):
        sweep(str(dataset), {"k": [3, 2]}, str(store), settings(), run_id="grid", categories=["nut"])


def test_a_category_that_fails_fails_at_each_point_and_stops_no_other(
    dataset: Path, settings: Settings, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / "007" / "train")
    (root / "007" / "train" / "good").mkdir(parents=True)
    with pytest.raises(IncompleteRunError, match=r"007: .*no usable training image") as caught:
        sweep(str(root), {"k": [1, 2]}, str(tmp_path / "store"), settings(), run_id="grid")
    assert caught.value.run_id == "grid"
    results = Results(tmp_path / "store")
    assert results.runs()["status"].tolist() == ["partial", "partial"]
    assert results.sweep()["status"].tolist() == ["failed", "ok"] * 2
    assert results.sweep()["pro"].notna().tolist() == [False, True] * 2


def test_a_wrong_grid_is_named_before_anything_is_read(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"kappa is 300: .* from 1 to 196 \(at the point levels"):
        sweep(str(tmp_path), {"kappa": [1, 300], "levels": [(4, 8), (16,)]}, "store", settings())


def test_random_galleries_are_nested_and_end_where_the_nearest_ones_do(
    dataset: Path, fresh: Callable[[], Path], settings: Settings
) -> None:
    """A gallery of all training images is the same however it was chosen; a larger one is never farther."""
    store = fresh()
    axes: dict[str, list[Any]] = {"gallery": ["nearest", "random"], "k_gallery": [2, 4, TRAIN]}
    sweep(str(dataset), axes, str(store), settings(sigma=0.0), run_id="grid", categories=["007"])
    results = Results(store)
    for image_id in results.images("grid-1")["image_id"]:
        maps = [results.anomaly_map(f"grid-{number}", image_id) for number in range(1, 7)]
        np.testing.assert_array_equal(maps[2], maps[5])
        assert (maps[4] <= maps[3]).all()
        assert (maps[5] <= maps[4]).all()
    assert results.sweep().groupby("gallery")["image_rocauc_embedding"].nunique().tolist() == [1, 1]


def test_images_that_were_set_aside_are_used_once_they_are_back(
    dataset: Path,
    fresh: Callable[[], Path],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The first attempt could not read an image any more, and died; the sweep goes on with all images."""

    class Killed(BaseException):
        """Not caught as a category's failure."""

    def dying(*_: object, **__: object) -> None:
        raise Killed

    store, whole = fresh(), fresh()
    extracted = extract.fn
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    path = root / "007" / "test" / "good" / "001.png"
    content = path.read_bytes()
    path.write_bytes(content + b"other")  # not in the store
    axes = {"k": [1, 2]}
    sweep(str(root), axes, str(whole), settings(), run_id="grid", categories=["007"])

    def gone(part: Any) -> Any:
        CROPS.clear()  # as where another process extracts
        path.unlink()
        return extracted(part)

    with monkeypatch.context() as patch:
        patch.setattr("flows.category.extract", gone)
        patch.setattr("flows.sweep.publish", dying)
        with pytest.raises(Killed):
            sweep(str(root), axes, str(store), settings(), run_id="grid", categories=["007"])
    path.write_bytes(content + b"other")
    sweep(str(root), axes, str(store), settings(), run_id="grid", categories=["007"])
    for run in ("grid-1", "grid-2"):
        assert tables(store, run) == tables(whole, run)
