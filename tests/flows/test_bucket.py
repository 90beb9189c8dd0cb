"""A run whose store is in a bucket: the same tables as in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import spade
from tiny import spade as small_spade
from tiny import write_category

from flows.evaluate import evaluate
from storage.datasets.dataset import Dataset
from storage.datasets.scan import read_manifest
from storage.repair import repair
from storage.results.reader import Results
from storage.store.location import location, read_bytes
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.drawings.draw import CATEGORIES
from tasks.demo import draw_dataset

TABLES = ("categories", "summary", "images", "neighbors", "manifest")


def tables(store: str, run: str) -> dict[str, bytes]:
    return {name: read_bytes(Results(store).folder(run) / f"{name}.parquet") for name in TABLES}


@pytest.mark.usefixtures("prefect_server")
def test_a_run_in_a_bucket_has_the_tables_of_a_run_in_a_folder(
    bucket: str, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    write_category(tmp_path / "tiny", "007", seed=7)
    write_category(tmp_path / "tiny", "größe 2", train=3, side=52, seed=2)
    stores = (str(tmp_path / "store"), f"{bucket}/night/store")
    methods = [small_spade().label]
    for store in stores:
        evaluate(str(tmp_path / "tiny"), store, settings(), run_id="first", methods=methods)
    folder, url = stores
    assert tables(folder, "first") == tables(url, "first")
    for image_id in Results(folder).images()["image_id"]:
        one, other = (Results(store).anomaly_map("latest", image_id) for store in stores)
        np.testing.assert_array_equal(one, other)

    evaluate(str(tmp_path / "tiny"), url, settings(), run_id="second", methods=methods)
    assert Results(url).stages("first")["computed"].sum() > 0
    assert Results(url).stages("second")["computed"].sum() == 0
    assert tables(url, "first") == tables(url, "second")
    assert Results(url).runs()["run"].tolist() == ["first", "second"]
    assert repair(Store.open(url)) == []

    arguments = ["results", "--table", "images", "--format", "csv", "--run", "first", "--store"]
    screens = [spade(*arguments, store)[1] for store in stores]
    assert "007/test/square/000.png" in screens[0]
    assert screens[0] == screens[1]

    for output in ([], ["--output", f"{bucket}/pages"]):
        code, out, error = spade("report", "--store", url, *output)
        assert (code, error) == (0, "")
        page = out.split()[-1]
        assert page.startswith(bucket)
        assert b"2 categories" in read_bytes(location(page))
    code, _, error = spade("report", "--store", url, "--output", "s3://absent/pages")
    assert code == 2
    assert error.startswith("error: s3://absent/pages cannot be used")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_one_line() -> None:
    code, out, error = spade("results", "--store", "s3://absent/store")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("error: s3://absent/store/store.json cannot be used")
    assert "AWS_ENDPOINT_URL" in error


def test_the_demo_is_drawn_into_a_bucket_as_into_a_folder(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    category, counts = next(iter(CATEGORIES.items()))
    monkeypatch.setattr("tasks.demo.CATEGORIES", {category: dict.fromkeys(counts, 1)})
    roots = [draw_dataset(Store.open(f"{above}/store", create=True)) for above in (tmp_path, bucket)]
    here, there = (read_manifest(Dataset.at(root)) for root in roots)
    assert here == there
    assert draw_dataset(Store.open(f"{bucket}/store")) == roots[1]
