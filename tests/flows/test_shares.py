"""Categories in shares come to what one task a category comes to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from tiny import spade, write_category

from flows.evaluate import IncompleteRunError, evaluate
from flows.runners import task_runner
from storage.results.reader import Results
from storage.store.location import read_bytes
from tasks.core.config import Configuration
from tasks.run import shares

pytestmark = pytest.mark.usefixtures("prefect_server")

PADIM = "padim(levels=(16,), dimensions=4)"
TABLES = ("categories", "summary", "images", "neighbors", "manifest")
METHODS = [spade().label, PADIM, f'ensemble(methods=("{PADIM}", "dn2(k=1)"))']
LEFT = "is left to the category"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "long", train=11, normal=4, anomalous=5, seed=1)
    write_category(root, "short", train=6, seed=2)
    return root


@pytest.fixture(scope="module")
def expected(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Results:
    store = tmp_path_factory.mktemp("alone") / "store"
    evaluate(str(dataset), str(store), settings(), methods=METHODS)
    return Results(store)


def in_shares(dataset: Path, store: Path, configuration: Configuration) -> Results:
    flow = evaluate.with_options(task_runner=task_runner(parallel=2))
    with patch.object(shares, "SIZE", 3):
        flow(str(dataset), str(store), configuration, methods=METHODS)
    return Results(store)


def tables(results: Results) -> dict[str, bytes]:
    return {name: read_bytes(results.folder() / f"{name}.parquet") for name in TABLES}


def computed(results: Results) -> dict[tuple[str, str, str], int]:
    stages = results.rows("stages")
    names = {(row["category"] or "", row["step"], row["method"] or "") for row in stages}
    return {
        name: sum(
            row["computed"]
            for row in stages
            if (row["category"] or "", row["step"], row["method"] or "") == name
        )
        for name in names
    }


def test_tables_and_what_is_computed_are_those_of_one_task_a_category(
    dataset: Path,
    expected: Results,
    settings: Callable[..., Configuration],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "spade"):
        found = in_shares(dataset, tmp_path, settings())
    assert tables(found) == tables(expected)
    assert computed(found) == computed(expected)
    assert LEFT not in caplog.text


@pytest.mark.parametrize("name", ["append_features", "pieces"])
def test_what_a_share_cannot_do_the_category_does(
    name: str,
    dataset: Path,
    expected: Results,
    settings: Callable[..., Configuration],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "spade"), patch.object(shares, name, side_effect=OSError("gone")):
        found = in_shares(dataset, tmp_path, settings())
    assert tables(found) == tables(expected)
    assert (LEFT in caplog.text) == (name == "append_features")


def test_a_category_that_fails_says_why_and_stops_no_other(
    settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    write_category(tmp_path / "tiny", "empty", train=0)
    write_category(tmp_path / "tiny", "short", train=6, seed=2)
    with pytest.raises(IncompleteRunError, match="empty: "):
        in_shares(tmp_path / "tiny", tmp_path / "store", settings())
    statuses = Results(tmp_path / "store").categories().groupby("category")["status"].unique()
    assert {name: list(found) for name, found in statuses.items()} == {"empty": ["failed"], "short": ["ok"]}
