from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from tiny import spade, write_category

from flows.evaluate import IncompleteRunError, evaluate
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.methods.ensemble import held_out

pytestmark = pytest.mark.usefixtures("prefect_server")

SPADE = spade().label
MEMBERS = (SPADE, "padim(dimensions=6)", "dn2")
BY_SCORES = f"ensemble(methods={MEMBERS})"
BY_RANKS = f"ensemble(methods={MEMBERS}, rule='ranks')"
BY_MEDIANS = f"ensemble(methods={MEMBERS}, scale='median')"
WITHOUT_MAPS = "ensemble(methods=('dn2', 'dn2(k=1)'))"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "nut", train=7, normal=3, anomalous=4, seed=7)
    return root


@pytest.fixture(scope="module")
def finished(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Results:
    """A run of ensembles before their methods, which then find their scores."""
    store = tmp_path_factory.mktemp("finished") / "store"
    methods = [BY_SCORES, BY_RANKS, BY_MEDIANS, WITHOUT_MAPS, *MEMBERS]
    evaluate(str(dataset), str(store), settings(), run_id="all", methods=methods)
    return Results(store)


def test_scores_and_maps_are_means_on_the_scale_of_images_moved_out_of_training(
    finished: Results, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(dataset, tmp_path / "moved"))
    good = moved / "nut/train/good"
    files = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in good.iterdir()}
    out = [key for key, chosen in zip(sorted(files), held_out(len(files), 0), strict=True) if chosen]
    for key in out:
        files[key].rename(moved / f"nut/test/good/held-{files[key].name}")
    evaluate(str(moved), str(tmp_path / "store"), settings(), run_id="moved", methods=MEMBERS)
    other = Results(tmp_path / "store")
    held = other.images().query("sha256 in @out")
    assert len(held) == len(MEMBERS) * len(out)

    ours = finished.images()
    expected = []
    for method in MEMBERS:
        normal = held[held["method"] == method]["score_embedding"].to_numpy(dtype=float)
        scores = ours[ours["method"] == method].set_index("image_id")["score_embedding"].astype(float)
        expected.append((scores - normal.mean()) / normal.std(ddof=1))
    found = ours[ours["method"] == BY_SCORES].set_index("image_id")["score_embedding"]
    np.testing.assert_allclose(found.to_numpy(dtype=float), pd.concat(expected, axis=1).mean(axis=1))

    divided = []
    for method in MEMBERS:
        normal = held[held["method"] == method]["score_embedding"].to_numpy(dtype=float)
        scores = ours[ours["method"] == method].set_index("image_id")["score_embedding"].astype(float)
        divided.append(scores / np.median(normal))
    by_medians = ours[ours["method"] == BY_MEDIANS].set_index("image_id")["score_embedding"]
    np.testing.assert_allclose(by_medians.to_numpy(dtype=float), pd.concat(divided, axis=1).mean(axis=1))

    for image_id in found.index:
        maps, by_medians = [], []
        for method in MEMBERS[:2]:
            ids = held[held["method"] == method]["image_id"]
            normal = np.stack([other.anomaly_map("moved", each, method) for each in ids]).astype(float)
            own = finished.anomaly_map("all", image_id, method)
            maps.append((own - normal.mean()) / normal.std(ddof=1))
            by_medians.append(own / np.median([np.median(each) for each in normal]))
        joined = finished.anomaly_map("all", image_id, BY_SCORES)
        np.testing.assert_allclose(joined, np.mean(maps, axis=0), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(joined, finished.anomaly_map("all", image_id, BY_RANKS))
        divided_map = finished.anomaly_map("all", image_id, BY_MEDIANS)
        np.testing.assert_allclose(divided_map, np.mean(by_medians, axis=0), rtol=1e-4, atol=1e-5)


def test_ranks_are_means_of_ranks_among_the_test_images(finished: Results) -> None:
    table = (
        finished.images().pivot(index="image_id", columns="method", values="score_embedding").astype(float)
    )
    ranks = np.mean([(rankdata(table[method]) - 1) / (len(table) - 1) for method in MEMBERS], axis=0)
    np.testing.assert_allclose(table[BY_RANKS], ranks)


def test_an_ensemble_of_methods_without_maps_has_none(finished: Results) -> None:
    row = finished.categories().set_index("method").loc[WITHOUT_MAPS]
    assert row["status"] == "ok"
    assert pd.isna(row["pixel_rocauc"])
    assert row["map_reason"] == f"{WITHOUT_MAPS} scores whole images"
    assert pd.isna(row["pixel_reason"])


def test_a_second_run_computes_nothing(
    finished: Results, dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    store = Path(shutil.copytree(finished.folder("all").parent.parent, tmp_path / "store"))
    stages = Results(store).stages("all").groupby(["step", "method"])["computed"].sum()
    assert (stages["score", BY_SCORES], stages["score", BY_RANKS], stages["score", SPADE]) == (7, 7, 7)
    evaluate(str(dataset), str(store), settings(), run_id="again", methods=[BY_RANKS, BY_SCORES])
    assert Results(store).stages("again")["computed"].sum() == 0


def test_two_training_images_are_too_few_to_hold_some_out(
    settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    write_category(tmp_path / "few", "nut", train=2, normal=2, anomalous=2)
    with pytest.raises(IncompleteRunError, match=r"nut: ensemble.*: 2 training images: three are needed"):
        evaluate(str(tmp_path / "few"), str(tmp_path / "store"), settings(), methods=["dn2", BY_SCORES])
    assert Results(tmp_path / "store").categories()["status"].tolist() == ["ok", "failed"]


def test_an_ensemble_is_explained_by_its_first_method_that_can(finished: Results) -> None:
    neighbors = finished.neighbors().drop(columns="run").set_index("method").sort_values(["image_id", "rank"])
    for ensemble in (BY_SCORES, BY_RANKS):
        assert (
            neighbors.loc[ensemble].reset_index(drop=True).equals(neighbors.loc[SPADE].reset_index(drop=True))
        )


def test_methods_that_are_no_methods_of_the_run_are_scored_once_and_found_by_it(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    """An ensemble alone scores its methods, and a crash after some of them costs nothing."""
    store = str(tmp_path / "store")
    evaluate(str(dataset), store, settings(), run_id="some", methods=["dn2"])
    evaluate(str(dataset), store, settings(), run_id="joined", methods=[BY_SCORES])
    stages = Results(store).stages("joined").query("step == 'score'").set_index("method")
    assert stages["computed"].to_dict() == {SPADE: 7, "padim(dimensions=6)": 7, "dn2": 0, BY_SCORES: 7}
    assert stages["score_key"].nunique() == 4
    evaluate(str(dataset), store, settings(), run_id="members", methods=MEMBERS)
    assert Results(store).stages("members").query("step != 'summarize'")["computed"].sum() == 0
