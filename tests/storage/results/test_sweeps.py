from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from storage.errors import StoreError
from storage.results.reader import Results
from storage.results.runs import publish
from storage.results.schemas import CATEGORIES
from storage.results.sweeps import averages, scoring_settings
from storage.store.store import Store
from storage.store.tables import table_of
from tasks.core.grid import AXES
from tasks.run.tables import RUN


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Two whole sweeps, one with a point missing, and a plain run."""
    store = Store.open(tmp_path / "store", create=True)
    plain = {
        "status": "complete",
        "finished": datetime(2026, 1, 1, tzinfo=UTC),
        "fingerprint": "f",
        "sweep": None,
    }
    publish(store, "plain", table_of([plain], pa.schema([RUN.field(name) for name in plain])), {})
    for day, sweep, number, points in [
        (2, "a", 2, 2),
        (3, "a", 1, 2),
        (4, "b", 1, 1),
        (5, "half", 1, 2),
    ]:
        settings = {
            "gallery": "nearest",
            "gallery_seed": 0,
            "levels": ["4", "16"],
            "fusion": "average",
            "upsampling": "bilinear",
            "distance": "squared",
            "sigma": 4.0,
            "metric_resolution": 256,
            "kappa": 1,
            "k_image": 50,
            "k_gallery": 10 * number,
        }
        row = settings | {
            "status": "complete",
            "finished": datetime(2026, 1, day, tzinfo=UTC),
            "fingerprint": "f",
            "sweep": sweep,
            "sweep_points": points,
        }
        categories: list[dict[str, object]] = [
            {
                "dataset": "d",
                "category": "nut",
                "method": "spade",
                "status": "ok",
                "pro": 0.5 * number,
                "k_image": 7,
            },
            {
                "dataset": "d",
                "category": "pin",
                "method": "spade",
                "status": "ok",
                "pro": 0.2,
                "pixel_rocauc": 0.9,
            },
            {"dataset": "d", "category": "cup", "method": "spade", "status": "failed"},
        ]
        schema = pa.schema([RUN.field(name) for name in RUN.names if name in row])
        publish(
            store,
            f"{sweep}-{number}",
            table_of([row], schema),
            {"categories": table_of(categories, CATEGORIES)},
        )
    return Results(store.root)


def test_points_stand_in_the_order_of_the_grid_with_what_was_asked_for(results: Results) -> None:
    frame = results.sweep("a")
    assert frame["run"].tolist() == ["a-1"] * 3 + ["a-2"] * 3
    assert frame["k_gallery"].tolist() == [10] * 3 + [20] * 3
    assert set(frame["k_image"]) == {50}
    assert set(frame["levels"]) == {"4,16"}
    columns = list(frame.columns)
    assert columns[:4] == ["run", "dataset", "category", "method"]
    names = results.scoring_settings("a-1")
    assert columns[4 : 4 + len(names)] == names
    assert frame.groupby("k_gallery")["pro"].mean().tolist() == pytest.approx([0.35, 0.6])


def test_the_latest_sweep_is_the_last_whole_one_and_no_run_of_it_is_the_latest_run(results: Results) -> None:
    assert results.sweep()["run"].tolist() == ["b-1"] * 3
    assert results.resolve("latest") == "plain"


def test_a_missing_sweep_or_point_is_named(results: Results) -> None:
    with pytest.raises(StoreError, match=r"no finished sweep 'c' in .*: it has a, b$"):
        results.sweep("c")
    with pytest.raises(StoreError, match=r"the sweep half in .* has 1 of 2 points so far: .*--run-id half`$"):
        results.sweep("half")


def test_an_average_is_over_the_categories_that_have_the_metric(results: Results) -> None:
    first, second = averages(results.rows("sweep", "a"), results.scoring_settings("a-1"))
    assert (first["run"], first["k_gallery"], first["categories"]) == ("a-1", 10, 3)
    assert first["pro"] == pytest.approx(0.35)
    assert (second["pro"], second["pixel_rocauc"]) == (pytest.approx(0.6), 0.9)
    assert second["image_rocauc_map"] is None


def test_every_axis_of_a_grid_is_a_column() -> None:
    assert set(scoring_settings(RUN)) == set(AXES) - {"k"}
