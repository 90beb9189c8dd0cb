from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import spade
from scipy.ndimage import gaussian_filter
from tiny import spade as small_spade
from tiny import write_category

from flows.evaluate import IncompleteRunError, evaluate
from storage.computed.features import Features
from storage.errors import StoreError
from storage.repair import repair
from storage.results.metrics import COMPARED
from storage.results.reader import Results
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.interface import Query, Training
from tasks.core.methods.padim import PaDiM
from tasks.core.metrics.intervals import rocauc_difference

pytestmark = pytest.mark.usefixtures("prefect_server")

SPADE = small_spade().label
METHODS = (
    SPADE,
    "dn2",
    "nearest_neighbor(limit=500)",
    "one_class_svm(limit=50)",
    "padim(dimensions=6)",
    "patchcore(share=0.01, dimension=32)",
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "nut", train=5, normal=3, anomalous=4, seed=7)
    write_category(root, "gear", train=3, normal=3, anomalous=3, side=52, seed=2)
    return root


@pytest.fixture(scope="module")
def finished(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store with one finished run of all methods, not to be changed."""
    store = tmp_path_factory.mktemp("finished") / "store"
    evaluate(str(dataset), str(store), settings(), run_id="all", methods=METHODS)
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "store"))


def of(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame[frame["method"] == name].drop(columns="run").reset_index(drop=True)


def test_every_table_has_a_row_for_each_method(finished: Path) -> None:
    results = Results(finished)
    assert results.categories()["method"].tolist() == [*METHODS] * 2
    assert set(results.categories()["status"]) == {"ok"}
    assert set(results.summary()["method"]) == set(METHODS)
    images = results.images()
    assert len(images) == 13 * len(METHODS)
    assert images.groupby("method")["image_id"].nunique().to_dict() == dict.fromkeys(METHODS, 13)
    assert images.groupby("method")["score_map"].count().to_dict() == dict.fromkeys(METHODS, 13) | {"dn2": 0}
    assert images["score_embedding"].notna().all()
    assert results.runs()["methods"].iloc[0].tolist() == [*METHODS]


def test_a_method_without_maps_has_no_pixel_metrics_and_says_so(finished: Path) -> None:
    rows = of(Results(finished).categories(), "dn2")
    assert rows["image_rocauc_embedding"].notna().all()
    assert rows[["image_rocauc_map", "pixel_rocauc", "pro"]].isna().all(axis=None)
    assert set(rows["map_reason"]) == {"dn2 scores whole images"}
    assert rows["pixel_reason"].isna().all()
    assert rows["without_mask"].tolist() == [0, 0]
    with pytest.raises(
        StoreError, match="no anomaly map by dn2 in run all: name a method that scores pixels"
    ):
        Results(finished).anomaly_map("all", "nut/test/good/000.png", "dn2")


def test_spade_has_the_rows_of_a_run_of_spade_alone(
    finished: Path, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    evaluate(str(dataset), str(tmp_path / "store"), settings(), run_id="alone", methods=[SPADE])
    alone, among = Results(tmp_path / "store"), Results(finished)
    for name in ("categories", "summary", "images", "neighbors"):
        expected = [row | {"run": "all"} for row in alone.rows(name)]
        assert [row for row in among.rows(name) if row["method"] == SPADE] == expected
        assert expected


def test_a_second_run_fits_and_scores_nothing(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    first = Results(store).stages("all").groupby(["step", "method"])["computed"].sum()
    assert {first["fit", method] for method in METHODS[2:]} == {8}
    assert {method for step, method in first.index if step == "fit"} == set(METHODS[2:])
    assert {first["score", method] for method in METHODS} == {13}
    states = {path: path.stat().st_mtime_ns for path in (store / "states").iterdir()}
    evaluate(str(dataset), str(store), settings(), run_id="again", methods=METHODS)
    assert Results(store).stages("again")["computed"].sum() == 0
    assert {path: path.stat().st_mtime_ns for path in (store / "states").iterdir()} == states
    for name in ("categories", "summary", "images", "method_comparisons"):
        one, two = (Path(Results(store).folder(run) / f"{name}.parquet") for run in ("all", "again"))
        assert one.read_bytes() == two.read_bytes()
    assert set(Results(store).comparisons("again")["verdict"]) == {"same", "not comparable"}


def test_other_maps_do_not_fit_a_method_again(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(sigma=0.0), run_id="sharp", methods=["padim(dimensions=6)"])
    found = Results(store).stages("sharp").groupby("step")["computed"].sum()
    assert (found["fit"], found["score"]) == (0, 13)
    assert Results(store).categories("sharp")["method"].tolist() == ["padim(dimensions=6)"] * 2


def test_scores_and_maps_are_those_of_the_method_itself(finished: Path) -> None:
    results = Results(finished)
    features = Features(Store.open(finished), results.runs()["feature_key"].iloc[0])
    manifest = results.manifest().query("category == 'nut'")
    train = manifest.query("split == 'train'")["sha256"].tolist()
    padim = PaDiM(dimensions=6)

    images = Training(
        features.embeddings(train), lambda position: features.pyramid(train[position], padim.reads)
    )
    scorer = padim.scorer(padim.fit(images), images)
    rows = of(results.images(), "padim(dimensions=6)").query("category == 'nut'")
    for row in rows.itertuples():
        found = scorer(Query(np.zeros(1, np.float32), features.pyramid(row.sha256, padim.reads)))
        (pixels,) = found.maps
        assert row.score_embedding == pytest.approx(found.image, rel=1e-6) == pytest.approx(pixels.max())
        grid = (np.arange(64) + 0.5) * 56 / 64 - 0.5
        low = np.clip(np.floor(grid).astype(int), 0, 55)
        high, share = np.minimum(low + 1, 55), np.clip(grid - low, 0, 1)
        tall = pixels[low] * (1 - share)[:, None] + pixels[high] * share[:, None]
        fine = gaussian_filter(tall[:, low] * (1 - share) + tall[:, high] * share, 1.0)
        stored = results.anomaly_map("all", row.image_id, "padim(dimensions=6)")
        np.testing.assert_allclose(stored, fine, rtol=1e-4)
        assert row.score_map == pytest.approx(np.sort(fine.ravel())[-41:].mean(), rel=1e-4)


def test_pairs_are_those_of_the_same_images(finished: Path) -> None:
    results = Results(finished)
    pairs = results.method_comparisons().set_index(["category", "metric", "method", "reference"])
    assert len(pairs) == 2 * len(COMPARED) * 15
    categories = results.categories().set_index(["category", "method"])
    for (category, metric, method, reference), row in pairs.iterrows():
        one, other = (categories.loc[(category, name), metric] for name in (method, reference))
        if pd.isna(one) or pd.isna(other):
            assert row["verdict"] == "not comparable"
            assert row["reason"].startswith("dn2 has no such metric: dn2 scores whole images")
            continue
        assert row["difference"] == pytest.approx(one - other)
        assert row["low"] <= row["difference"] <= row["high"]
        if metric == "image_rocauc_embedding":
            images = results.images().query("category == @category")
            columns = images.pivot(index="image_id", columns="method", values="score_embedding")
            labels = images.query("method == @SPADE").set_index("image_id")["anomalous"]
            first, second = (columns[name].to_numpy(dtype=float) for name in (method, reference))
            expected = rocauc_difference(first, second, labels[columns.index].to_numpy(dtype=bool))
            assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
            assert row["p_value"] == pytest.approx(expected.p_value)


def test_a_method_that_fails_costs_no_other(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room for the Gaussians")

    monkeypatch.setattr(PaDiM, "fit", fail)
    methods = ["spade", "padim", "dn2", "ensemble(methods=('padim', 'dn2'))"]
    with pytest.raises(IncompleteRunError, match="nut: MemoryError: no room for the Gaussians"):
        evaluate(str(dataset), str(tmp_path / "store"), settings(), ["nut"], run_id="run", methods=methods)
    results = Results(tmp_path / "store")
    assert results.categories()["status"].tolist() == ["ok", "failed", "ok", "failed"]
    assert results.runs()["status"].tolist() == ["partial"]
    assert results.images().groupby("method")["score_embedding"].count().to_dict() == {
        "spade": 7,
        "padim": 0,
        "dn2": 7,
        methods[3]: 0,
    }


def test_a_run_of_other_methods_is_compared_method_by_method(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(), run_id="two", methods=["dn2(k=1)", SPADE])
    found = Results(store).comparisons("two").groupby("method")["verdict"].agg(set).to_dict()
    assert found == {SPADE: {"same"}, "dn2(k=1)": {"new"}}
    history = Results(store).history("image_rocauc_embedding", "tiny", "nut", "dn2(k=1)")
    assert history["run"].tolist() == ["two"]
    assert Results(store).history("pro", "tiny", "nut", SPADE)["run"].tolist() == ["all", "two"]
    first = Results(store).history("pro", "tiny", "nut")
    assert first["method"].tolist() == [SPADE, "dn2(k=1)"]


def test_a_damaged_state_is_named_dropped_and_fitted_again(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    for path in (store / "states").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-9])
    methods = ["nearest_neighbor(limit=500)", "padim(dimensions=6)"]
    arguments: dict[str, Any] = {"run_id": "sharp", "methods": methods}
    with pytest.raises(IncompleteRunError, match=r"npz is damaged \(its SHA-256 is not the one recorded\)"):
        evaluate(str(dataset), str(store), settings(sigma=0.0), **arguments)
    assert len(repair(Store.open(store))) == 2 * len(METHODS[2:])
    evaluate(str(dataset), str(store), settings(sigma=0.0), **arguments)
    assert set(Results(store).categories("sharp")["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("patchwork", "method is 'patchwork': did you mean patchcore.* it is one of spade, rad"),
        ("dn2(5)", r"method is 'dn2\(5\)'"),
        ("dn2(k=0)", "k is 0"),
        ("dn2(j=1)", "dn2 has no setting 'j'"),
        ("import os", "method is 'import os'"),
    ],
)
def test_a_wrong_method_is_named_before_anything_is_computed(
    method: str, message: str, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        evaluate(str(dataset), str(tmp_path / "store"), settings(), methods=["spade", method])
    assert not (tmp_path / "store").exists()


def test_spade_methods_shows_metrics_pairs_ranks_and_costs(store: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    code, shown, error = spade("methods", "all", "--store", store, "--plot", plot)
    assert code == 0, error
    assert "patchcore" in shown
    assert "2 categories are too few to be sure" in shown
    assert plot.read_bytes().startswith(b"\x89PNG")
    options = ["methods", "--store", store, "--format", "json"]
    rows = json.loads(spade(*options)[1])
    categories = Results(store).categories()
    assert [row["pro"] for row in rows if row["method"] == SPADE] == of(categories, SPADE)["pro"].tolist()
    assert all((row["fit_seconds"] > 0) == (row["method"] in METHODS[2:]) for row in rows)
    assert all(row["state_mib"] > 0 for row in rows)
    ranks = json.loads(spade(*options, "--table", "ranks")[1])
    for metric in COMPARED:
        found = [row for row in ranks if row["metric"] == metric.name]
        assert len(found) == len(METHODS) - (metric.name != "image_rocauc_embedding")
        assert np.mean([row["mean_rank"] for row in found]) == pytest.approx((len(found) + 1) / 2)
    pairs = json.loads(spade(*options, "--table", "pairs")[1])
    assert len(pairs) == 2 * len(COMPARED) * 15


def test_costs_are_those_of_the_run_that_did_the_work(
    store: Path, dataset: Path, settings: Callable[..., Configuration]
) -> None:
    evaluate(str(dataset), str(store), settings(), run_id="again", methods=METHODS)
    options = ["--store", str(store), "--format", "json"]
    first, second = (json.loads(spade("methods", run, *options)[1]) for run in ("all", "again"))
    assert [row | {"run": ""} for row in first] == [row | {"run": ""} for row in second]
