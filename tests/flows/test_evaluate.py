from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny import spade, write_category, write_image

from flows.evaluate import IncompleteRunError
from flows.evaluate import evaluate as evaluate_by
from storage.datasets.dataset import Dataset
from storage.errors import StoreError
from storage.repair import repair
from storage.results.metrics import COMPARED, EXCUSED, OCCASIONAL
from storage.results.reader import Results
from storage.store.store import Store
from tasks.compare.runs import compare
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.job import Outcome, Part, Request, Stage
from tasks.methods.by_name import score, scoring_of
from tasks.methods.index import index
from tasks.run.crops import CROPS
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare
from tasks.run.publish import publish
from tasks.run.summarize import summarize

pytestmark = pytest.mark.usefixtures("prefect_server")

TABLES = ("categories", "summary", "images", "neighbors", "manifest")
SPADE = spade(upsampling="bilinear").label  # as the plain computation upsamples


def evaluate(*arguments: Any, methods: Sequence[str] = (SPADE,), **more: Any) -> str:
    """The flow, by SPADE with few neighbours."""
    return str(evaluate_by(*arguments, methods=methods, **more))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "007", seed=7)
    write_category(root, "größe 2", train=3, side=52, seed=2)
    return root


@pytest.fixture(scope="module")
def finished(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with one finished run, not to be changed."""
    store = tmp_path_factory.mktemp("finished") / "store"
    evaluate(str(dataset), str(store), settings(), run_id="first")
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


def computed(store: Path, run: str = "latest") -> dict[str, int]:
    """Items computed by each step of a run."""
    return dict(Results(store).stages(run).groupby("step")["computed"].sum())


def files(store: Path, run: str) -> dict[str, bytes]:
    return {name: Path(Results(store).folder(run) / f"{name}.parquet").read_bytes() for name in TABLES}


def plain_features(path: Path, weights: Path) -> tuple[np.ndarray, np.ndarray]:
    """Embedding and patch vectors (3136, 448), concatenated bilinearly, without any code of the project."""
    network = torchvision.models.resnet18()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()
    with Image.open(path) as picture:
        resized = picture.convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    pixels = np.asarray(resized)[16:240, 16:240].astype(np.float32) / 255
    mean, std = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    x = torch.from_numpy(((pixels - mean) / std).transpose(2, 0, 1))[None]
    levels = []
    with torch.inference_mode():
        x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
        for layer in (network.layer1, network.layer2, network.layer3):
            x = layer(x)
            levels.append(torch.nn.functional.interpolate(x, (56, 56), mode="bilinear")[0])
        embedding = network.layer4(x).mean((2, 3))[0].numpy()
    return embedding.astype(np.float64), torch.cat(levels).flatten(1).T.numpy().astype(np.float64)


def test_the_tables_agree_with_a_plain_computation_of_the_whole_method(
    finished: Path, dataset: Path, resnet18_weights: Path
) -> None:
    category = "007"
    train = sorted((dataset / category / "train" / "good").iterdir())
    gallery = [plain_features(path, resnet18_weights) for path in train]
    images = Results(finished).images().query("category == @category")
    assert images["image_id"].tolist() == sorted(
        path.relative_to(dataset).as_posix() for path in (dataset / category / "test").rglob("*.png")
    )
    scores, maps, masks = [], [], []
    for row in images.itertuples():
        path = dataset / row.image_id
        embedding, patches = plain_features(path, resnet18_weights)
        distances = np.array([((embedding - other) ** 2).sum() for other, _ in gallery])
        order = np.argsort(distances)
        scores.append(distances[order[:3]].mean())
        nearest = np.full(3136, np.inf)
        for position in order[:2]:
            other = gallery[position][1]
            squared = (patches**2).sum(1)[:, None] + (other**2).sum(1) - 2 * patches @ other.T
            nearest = np.minimum(nearest, squared.min(axis=1))
        coarse = torch.from_numpy(nearest.reshape(1, 1, 56, 56))
        fine = torch.nn.functional.interpolate(coarse, (64, 64), mode="bilinear")[0, 0].numpy()
        maps.append(gaussian_filter(fine, 1.0))
        mask = np.zeros((64, 64), bool)
        if row.anomalous:
            name = dataset / category / "ground_truth" / row.defect / f"{path.stem}_mask.png"
            with Image.open(name) as picture:
                original = np.asarray(picture)
            for i in range(64):
                for j in range(64):
                    y = ((i + 0.5) * 224 / 64 + 16) / 256 * original.shape[0]
                    x = ((j + 0.5) * 224 / 64 + 16) / 256 * original.shape[1]
                    mask[i, j] = original[int(y), int(x)] > 127
        masks.append(mask)
        neighbors = Results(finished).neighbors().query("image_id == @row.image_id")
        assert neighbors["neighbor_id"].tolist() == [
            train[position].relative_to(dataset).as_posix() for position in order[:3]
        ]
        np.testing.assert_allclose(neighbors["squared_distance"], distances[order[:3]], rtol=1e-4)
        np.testing.assert_allclose(
            Results(finished).anomaly_map("first", row.image_id), maps[-1], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(images["score_embedding"], scores, rtol=1e-4)
    highest = [np.sort(values.ravel())[-41:].mean() for values in maps]
    np.testing.assert_allclose(images["score_map"], highest, rtol=1e-4)
    found = Results(finished).categories().set_index("category").loc[category]
    labels, pixels, truth = images["anomalous"].astype(bool), np.stack(maps).ravel(), np.stack(masks).ravel()
    assert found["image_rocauc_embedding"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["image_rocauc_map"] == pytest.approx(roc_auc_score(labels, highest))
    assert found["pixel_rocauc"] == pytest.approx(roc_auc_score(truth, pixels), abs=1e-6)
    assert found["pixel_average_precision"] == pytest.approx(average_precision_score(truth, pixels), abs=1e-5)
    assert (found["train"], found["test_normal"], found["test_anomalous"]) == (4, 2, 3)


def test_a_run_says_where_its_numbers_come_from(finished: Path, dataset: Path) -> None:
    run = Results(finished).runs().iloc[0]
    assert run["run"] == "first"
    assert run["status"] == "complete"
    assert run["root"] == str(dataset)
    assert (run["categories"], run["images"], run["set_aside"]) == (2, 17, 0)
    assert len(run["weights_sha256"]) == 64
    assert {"torch", "faiss-cpu", "spade-anomaly"} <= dict(run["versions"]).keys()
    assert str(run["finished"].tz) == "UTC"


def test_averages_are_over_categories(finished: Path) -> None:
    categories = Results(finished).categories()
    assert categories["category"].tolist() == ["007", "größe 2"]
    summary = Results(finished).summary().set_index("metric")
    assert summary.loc["pixel_rocauc", "mean"] == pytest.approx(categories["pixel_rocauc"].mean())
    lowest = categories.loc[categories["pro"].idxmin()]
    assert summary.loc["pro", "lowest_category"] == lowest["category"]


def test_a_second_run_computes_nothing_and_has_the_same_tables(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(), run_id="second")
    assert set(computed(store, "first").values()) == {17, 7, 10, 0}  # for drift no image is read again
    assert set(computed(store, "second").values()) == {0}
    assert files(store, "first") == files(store, "second")
    runs = Results(store).runs()
    assert runs["fingerprint"].nunique() == 1
    assert runs["run"].tolist() == ["first", "second"]


def test_a_second_run_is_compared_with_the_first_and_is_the_same(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    assert set(Results(store).comparisons("first")["verdict"]) == {"new"}
    evaluate(str(dataset), str(store), settings(), run_id="second")
    found = Results(store).comparisons("second")
    assert found["verdict"].tolist() == ["same"] * 8
    assert found["reference_run"].unique().tolist() == ["first"]
    assert found[["difference", "low", "high"]].eq(0).all(axis=None)


def test_intervals_hold_their_metrics(finished: Path) -> None:
    categories = Results(finished).categories()
    for metric in COMPARED:
        assert (categories[metric.low] <= categories[metric.name]).all()
        assert (categories[metric.name] <= categories[metric.high]).all()
    history = Results(finished).history("image_rocauc_map", "tiny", "007")
    row = categories.iloc[0]
    assert history[["value", "low", "high"]].to_numpy()[0].tolist() == [
        row["image_rocauc_map"],
        row["image_rocauc_map_low"],
        row["image_rocauc_map_high"],
    ]


def test_perturbed_weights_are_the_same_configuration_and_caught_as_worse(
    settings: Callable[..., Configuration], resnet18_weights: Path, tmp_path: Path
) -> None:
    """A first layer of zeros: the network sees nothing any more, and nothing else has changed."""
    root = tmp_path / "tiny"
    write_category(root, "nut", train=4, normal=6, anomalous=6, seed=3)
    store = tmp_path / "store"
    evaluate(str(root), str(store), settings(), run_id="good")
    state = torch.load(resnet18_weights, weights_only=True)
    state["conv1.weight"].zero_()
    perturbed = tmp_path / "perturbed.pth"
    torch.save(state, perturbed)
    evaluate(str(root), str(store), settings(weights=str(perturbed)), run_id="bad")
    runs = Results(store).runs()
    assert runs["configuration_key"].nunique() == 1
    assert runs["weights_sha256"].nunique() == 2
    found = Results(store).comparisons("bad").set_index("metric")
    assert set(found["reference_run"]) == {"good"}
    assert found["verdict"]["pixel_rocauc"] == "worse"
    assert found["high"]["pixel_rocauc"] < 0
    again = [compare(Store.open(store), "bad", seed=seed) for seed in (1, 2)]
    assert all(table["verdict"].to_pylist() == found["verdict"].tolist() for table in again)


@pytest.mark.parametrize(
    ("change", "of_maps"),
    [
        ({"k_gallery": 1}, {}),
        ({"k_image": 1}, {}),
        ({"fusion": "average"}, {}),
        ({"levels": (8, 16)}, {}),
        ({}, {"sigma": 0.0}),
    ],
)
def test_another_way_to_score_extracts_nothing(
    store: Path,
    dataset: Path,
    settings: Callable[..., Configuration],
    change: dict[str, Any],
    of_maps: dict[str, Any],
) -> None:
    methods = [spade(**change).label]
    evaluate(str(dataset), str(store), settings(**of_maps), categories=["007"], methods=methods)
    found = computed(store)
    assert (found["extract"], found["index"], found["score"]) == (0, 0, 5)


def test_another_backbone_has_features_of_its_own(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(protocol="full"), categories=["007"])
    assert computed(store)["extract"] == 9
    assert Results(store).runs()["feature_key"].nunique() == 2


def test_a_published_run_is_not_run_again_nor_overwritten(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    before = Results(store).runs()
    evaluate(str(dataset), str(store), settings(), run_id="first")
    assert Results(store).runs().equals(before)
    with pytest.raises(
        StoreError, match=r"run first in .* another configuration or other data: name another --run-id"
    ):
        evaluate(str(dataset), str(store), settings(), run_id="first", methods=[spade(k_image=1).label])
    assert Results(store).runs().equals(before)


def test_renamed_images_are_recognised(
    store: Path, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = tmp_path / "tiny"
    shutil.copytree(dataset / "007", root / "renamed category")
    good = root / "renamed category" / "train" / "good"
    (good / "000.png").rename(good / "zzz.png")
    evaluate(str(root), str(store), settings())
    assert set(computed(store).values()) - {6} == {0}
    before = Results(store).categories("first").set_index("category").loc["007"]
    after = Results(store).categories().iloc[0]
    assert after["pixel_rocauc"] == before["pixel_rocauc"]
    assert "renamed category/train/good/zzz.png" in Results(store).neighbors()["neighbor_id"].tolist()


def test_new_images_alone_are_extracted(
    store: Path, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    write_category(root, "more", train=1, normal=1, anomalous=1, seed=9)
    for path in (root / "more" / "test" / "good").iterdir():
        shutil.copy(path, root / "007" / "test" / "good" / "new.png")
    evaluate(str(root), str(store), settings(), categories=["007"])
    found = computed(store)
    assert (found["extract"], found["index"], found["score"]) == (1, 0, 1)


def test_bad_files_are_set_aside_and_the_run_goes_on(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    category = root / "007"
    whole = (category / "train" / "good" / "000.png").read_bytes()
    (category / "train" / "good" / "000.png").write_bytes(whole[: len(whole) // 2])
    (category / "test" / "good" / "000.png").write_bytes(b"")
    (category / "test" / "square" / "000.png").write_text("not an image")
    (category / "ground_truth" / "square" / "001_mask.png").unlink()
    evaluate(str(root), str(tmp_path / "store"), settings())
    results = Results(tmp_path / "store")
    row = results.categories().set_index("category").loc["007"]
    assert row["status"] == "ok"
    assert (row["set_aside"], row["train"], row["without_mask"], row["pixel_images"]) == (3, 3, 1, 2)
    images = results.images().set_index("image_id")
    assert images.loc["007/test/good/000.png", "reason"] == "unreadable: the file is empty"
    assert images.loc["007/test/square/001.png", "mask_reason"] == "no mask"
    reasons = results.manifest().set_index("image_id")["reason"]
    assert "unreadable" in reasons["007/train/good/000.png"]
    assert results.runs()["set_aside"].tolist() == [3]


def test_a_category_that_cannot_be_evaluated_fails_alone(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / "007" / "train")
    with pytest.raises(IncompleteRunError, match="007: no usable training image: put normal images"):
        evaluate(str(root), str(tmp_path / "store"), settings())
    results = Results(tmp_path / "store")
    assert results.runs()["status"].tolist() == ["partial"]
    categories = results.categories().set_index("category")
    assert categories.loc["007", "status"] == "failed"
    assert categories.loc["größe 2", "pixel_rocauc"] > 0
    counted = results.summary().set_index("metric")["categories"]
    absent = {metric.name for metric in (*EXCUSED, *OCCASIONAL)} & set(counted.index)
    assert counted.drop(absent).unique().tolist() == [1]
    assert "10000 are needed" in categories.loc["größe 2", "aupimo_reason"]
    assert set(results.images().query("category == '007'")["status"]) == {"not scored"}


@pytest.mark.parametrize(
    ("removed", "reason"),
    [("square", "all test images are normal"), ("good", "all test images are anomalous")],
)
def test_one_kind_of_test_image_alone_leaves_image_metrics_null(
    removed: str, reason: str, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    shutil.rmtree(root / "007" / "test" / removed)
    if removed == "square":
        shutil.rmtree(root / "007" / "ground_truth")
    evaluate(str(root), str(tmp_path / "store"), settings(), categories=["007"])
    row = Results(tmp_path / "store").categories().iloc[0]
    assert row["image_rocauc_embedding"] is pd.NA
    assert row["image_f1_max_map"] is pd.NA
    assert row["image_reason"].startswith(reason)
    if removed == "square":
        assert row["pro"] is pd.NA
        assert "no test image has an anomalous pixel" in row["pixel_reason"]
    else:
        assert row["pixel_rocauc"] > 0


def test_a_k_larger_than_the_training_set_is_as_large_as_it_can_be(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(), methods=["spade"])
    results = Results(store)
    assert results.categories()["k_image"].tolist() == [4, 3]
    assert results.categories()["k_gallery"].tolist() == [4, 3]
    assert results.runs()["k_gallery"].tolist() == [2, 50]
    assert results.neighbors().groupby("image_id").size().unique().tolist() == [4, 3]


def test_an_image_that_vanishes_during_the_run_is_set_aside(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "tiny"))
    store = str(tmp_path / "store")
    job = prepare.fn(
        Request(Dataset.at(root), store, settings(), (spade(),), ("007",), "run", "cpu", batch_size=2)
    )
    stage = ingest.fn(job)
    CROPS.clear()  # as where another process extracts
    (root / "007" / "test" / "good" / "001.png").unlink()
    write_image(root / "007" / "train" / "good" / "002.png", np.zeros((9, 9, 3), np.uint8))
    (root / "007" / "ground_truth" / "square" / "001_mask.png").unlink()
    extracted, part = extract.fn(job.part("007"))
    excluded = job.set_aside(["007"])
    assert sorted(excluded) == ["007/test/good/001.png", "007/train/good/002.png"]
    assert "changed during the run" in excluded["007/train/good/002.png"]
    indexed, scoring = index.fn(part), scoring_of(part, *job.methods)
    (scored,) = score.fn([scoring])
    row, _, summarized = summarize.fn(scoring)
    publish.fn(job, [Outcome("007", [row], None, [extracted, indexed, *scored, summarized])], stage)
    row = Results(tmp_path / "store").categories().iloc[0]
    assert (row["train"], row["test_normal"], row["set_aside"], row["pixel_images"]) == (3, 1, 2, 3)


def test_what_was_set_aside_keeps_its_reason_when_its_category_fails(
    store: Path, dataset: Path, settings: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract_in_part(part: Part) -> tuple[Stage, Part]:
        stage = Stage("extract", part.category, 0.0, 0, 0)
        return stage, part.without({"007/test/good/001.png": "it is gone"})

    def fail(*_: object) -> None:
        raise StoreError("no room")

    monkeypatch.setattr("flows.category.extract", extract_in_part)
    monkeypatch.setattr("flows.category.index", fail)
    with pytest.raises(IncompleteRunError, match="007: no room"):
        evaluate(str(dataset), str(store), settings(), ["007"], run_id="failed")
    images = Results(store).images("failed").set_index("image_id")
    assert images.loc["007/test/good/001.png", ["status", "reason"]].tolist() == ["set aside", "it is gone"]
    assert images.loc["007/test/good/000.png", "reason"] == "its category failed"
    assert Results(store).categories("failed")["set_aside"].tolist() == [1]


def test_a_dataset_of_another_layout_is_evaluated_where_it_lies(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    """As a deployment gives it: in JSON."""
    layout = {
        "kind": "folders",
        "train_normal": ["{category}/train/good/*"],
        "anomalous": ["{category}/test/{defect}/*"],
        "mask": "{category}/ground_truth/{defect}/{stem}_mask.png",
    }
    root: Any = {"root": str(dataset), "name": "patterns", "layout": layout}
    evaluate(root, str(store), settings(), run_id="patterns")
    results = Results(store)
    metrics = results.categories().drop(columns=["dataset", "run"])
    assert metrics.equals(results.categories("first").drop(columns=["dataset", "run"]))
    assert results.runs().set_index("run").loc["patterns", "dataset"] == "patterns"
    assert set(computed(store).values()) - {17} == {0}


def test_damage_is_named_and_repaired(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    methods = [spade(k_image=2).label]
    shard = next(path for path in (store / "features").rglob("level_8/c.*"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(IncompleteRunError, match=r"level_8, row .* is damaged .*spade repair --store"):
        evaluate(str(dataset), str(store), settings(), run_id="again", methods=methods)
    assert len(repair(Store.open(store))) == 1
    evaluate(str(dataset), str(store), settings(), run_id="again", methods=methods)
    assert Results(store).runs().set_index("run").loc["again", "status"] == "complete"
    assert 0 < computed(store, "again")["extract"] < 17


def test_what_concerns_every_category_stops_the_run(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="do not fit resnet34"):
        evaluate(str(dataset), str(tmp_path / "store"), settings(backbone="resnet34"))
    with pytest.raises(StoreError, match="has no finished run yet"):
        Results(tmp_path / "store").runs()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"run_id": "../x"}, "run-id is '../x': use up to 100 letters"),
        ({"run_id": "latest"}, "not 'latest'"),
        ({"batch_size": 0}, "batch-size is 0"),
        ({"device": "warp"}, "device is 'warp': use auto, cpu, or one that torch has here"),
    ],
)
def test_wrong_arguments_are_named(
    wrong: dict[str, Any],
    message: str,
    dataset: Path,
    settings: Callable[..., Configuration],
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        prepare.fn(Request(Dataset.at(dataset), str(tmp_path / "store"), settings(), **wrong))
