"""The code of docs/pandas.md, run as it stands there; and the pages that are made."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tiny import spade, write_category

from flows.evaluate import evaluate
from storage.results.documentation import tables_page
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.run.documentation import ALL_TABLES, pages

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def folder(
    prefect_server: None,  # noqa: ARG001
    settings: Callable[..., Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with spade-store, two runs of it with another K, and a new image."""
    folder = tmp_path_factory.mktemp("questions")
    data = folder / "data"
    write_category(data, "bottle", train=100)
    write_category(data, "nut", seed=1)
    (data / "nut" / "test" / "square" / "000.png").write_bytes(b"")
    for k in (1, 2):
        methods = [spade(k_gallery=k).label]
        evaluate(str(data), str(folder / "spade-store"), settings(), run_id=f"k{k}", methods=methods)
    shutil.copy(data / "bottle" / "test" / "square" / "000.png", folder / "new.png")
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, Any]:
    """What docs/pandas.md answers."""
    return answered("pandas.md", folder)


@pytest.fixture(scope="module")
def by_sql(folder: Path) -> dict[str, Any]:
    """What docs/sql.md answers."""
    return answered("sql.md", folder)


def answered(page: str, folder: Path) -> dict[str, Any]:
    """The value of the last line of each block by the number of its question, and all names by theirs."""
    names: dict[str, Any] = {}
    found: dict[str, Any] = {}
    heading = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for title, block in re.findall(
            r"^#+ (.*?)$|^```python\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
        ):
            if title:
                heading = title.partition(".")[0]
                continue
            *lines, last = ast.parse(block).body
            if not isinstance(last, ast.Expr):
                *lines, last = ast.parse(f"{block}None").body
            assert isinstance(last, ast.Expr)
            exec(compile(ast.Module(lines, []), page, "exec"), names)
            found[heading] = eval(compile(ast.Expression(last.value), page, "eval"), names)
    return names | found


def test_there_are_ten_questions(answers: dict[str, Any]) -> None:
    assert [name for name in answers if name.isdigit()] == [str(number) for number in range(1, 11)]


def test_worst_categories_come_first(answers: dict[str, Any], folder: Path) -> None:
    rows = Results(folder / "spade-store").rows("categories")
    expected = [row["category"] for row in sorted(rows, key=lambda row: row["pro"])]
    assert answers["1"]["category"].tolist() == expected


def test_the_history_of_a_category_has_a_row_a_run(answers: dict[str, Any]) -> None:
    assert answers["2"]["run"].tolist() == ["k1", "k2"]
    assert answers["2"]["value"].between(0, 1).all()


def test_changed_verdicts_are_those_of_a_plain_loop(answers: dict[str, Any], folder: Path) -> None:
    results = Results(folder / "spade-store")
    seen: dict[str, list[bool]] = {}
    for run in ("k1", "k2"):
        limits = {
            row["category"]: row["image_f1_max_threshold_map"] for row in results.rows("categories", run)
        }
        for row in results.rows("images", run):
            if row["status"] == "ok":
                seen.setdefault(row["image_id"], []).append(row["score_map"] >= limits[row["category"]])
    assert answers["4"] is not None
    assert len(seen) == 9
    expected = {name: last for name, (first, last) in seen.items() if first != last}
    assert answers["3"].to_dict() == expected


def test_false_alarms_are_normal_images_above_the_threshold(answers: dict[str, Any], folder: Path) -> None:
    rows = Results(folder / "spade-store").rows("images")
    limit = answers["limit"]
    assert limit > 0
    expected = [
        row["image_id"]
        for row in rows
        if row["category"] == "bottle" and row["defect"] == "good" and row["score_embedding"] > limit
    ]
    assert answers["4"].tolist() == expected


def test_the_most_frequent_neighbour_is_counted(answers: dict[str, Any], folder: Path) -> None:
    first = [
        row["neighbor_id"] for row in Results(folder / "spade-store").rows("neighbors") if row["rank"] == 1
    ]
    counts = answers["5"]
    assert counts.iloc[0] == max(first.count(name) for name in first)
    assert first.count(counts.index[0]) == counts.iloc[0]


def test_a_metric_is_shown_for_each_k(answers: dict[str, Any], folder: Path) -> None:
    assert answers["6"].columns.tolist() == [1, 2]
    assert answers["6"].index.tolist() == ["bottle", "nut"]
    row = Results(folder / "spade-store").rows("categories", "k1")[0]
    assert answers["6"].loc["bottle", 1] == row["pixel_rocauc"]


def test_each_step_has_time_and_memory(answers: dict[str, Any], folder: Path) -> None:
    found = answers["7"]
    assert set(found.index) == {"ingest", "extract", "index", "drift", "score", "summarize"}
    assert (found["seconds"] >= 0).all()
    peak = Results(folder / "spade-store").rows("runs")[-1]["peak_memory_mib"]
    assert found["peak_memory_mib"].between(50, peak).all()


def test_a_map_is_an_array(answers: dict[str, Any]) -> None:
    assert answers["8"].shape == (64, 64)
    assert answers["8"].dtype == np.float32


def test_maps_are_exported_on_one_scale_at_the_size_of_their_images(
    answers: dict[str, Any], folder: Path
) -> None:
    results = Results(folder / "spade-store")
    about = json.loads((folder / answers["9"]).read_text())
    assert len(about["files"]) == 9
    highest = 0
    for name, file in about["files"].items():
        with Image.open(folder / "maps" / file) as picture:
            pixels = np.asarray(picture)
            assert json.loads(picture.tag_v2[270])["step"] == about["step"]  # type: ignore[attr-defined]
        assert pixels.shape == (40, 49)
        assert pixels.dtype == np.uint16
        assert (pixels[0] == 0).all()
        highest = max(highest, pixels.max())
        middle = about["lowest"] + (float(pixels[20, 24]) - 1) * about["step"]
        values = results.anomaly_map("latest", name)
        assert (
            values[28:36, 28:36].min() - about["step"] <= middle <= values[28:36, 28:36].max() + about["step"]
        )
    assert 60_000 < highest <= 65_535


def test_what_was_skipped_has_its_reason(answers: dict[str, Any]) -> None:
    assert answers["files"].values.tolist() == [["nut/test/square/000.png", "unreadable: the file is empty"]]
    assert answers["10"].empty


def test_a_new_image_has_the_score_of_the_run(answers: dict[str, Any], folder: Path) -> None:
    row = next(
        row
        for row in Results(folder / "spade-store").rows("images")
        if row["image_id"] == "bottle/test/square/000.png"
    )
    assert answers["scored"].score_map == row["score_map"]
    assert answers["scored"].score_embedding == row["score_embedding"]
    assert answers["scored"].verdict in ("anomalous", "normal")


def test_sql_has_the_same_answers_as_pandas(answers: dict[str, Any], by_sql: dict[str, Any]) -> None:
    for number in ("1", "2"):
        assert by_sql[number].to_pylist() == answers[number].to_dict("records")
    three = {row["image_id"]: row["now"] for row in by_sql["3"].to_pylist()}
    assert three == answers["3"].to_dict()
    assert by_sql["4"]["image_id"].to_pylist() == answers["4"].tolist()
    counts = {row["neighbor_id"]: row["count"] for row in by_sql["5"].to_pylist()}
    assert list(counts.values()) == answers["5"].tolist()  # which of those that tie is left open
    pivoted = {(row["category"], row["k_gallery"]): row["value"] for row in by_sql["6"].to_pylist()}
    assert pivoted == answers["6"].stack().to_dict()
    steps = {row.pop("step"): row for row in by_sql["7"].to_pylist()}
    expected = answers["7"].to_dict("index")
    assert {step: row["peak_memory_mib"] for step, row in steps.items()} == {
        step: row["peak_memory_mib"] for step, row in expected.items()
    }
    for step, row in steps.items():
        assert row["seconds"] == pytest.approx(expected[step]["seconds"])
    assert by_sql["image_id"] == answers["image_id"]
    assert np.array_equal(by_sql["8"], answers["8"])
    assert by_sql["9"] == answers["9"]
    assert by_sql["files"].to_pylist() == answers["files"].to_dict("records")
    assert by_sql["10"].to_pylist() == answers["10"].to_dict("records") == []


def test_columns_have_the_types_that_the_page_says(folder: Path) -> None:
    results = Results(folder / "spade-store")
    for name in ALL_TABLES.keys() - {"reproduction"}:  # there is none; tests/flows/test_reproduce.py has one
        frame = getattr(results, name)()
        listed = re.search(
            rf"^## {name}\n(.*?)(?=^## |\Z)", tables_page(ALL_TABLES), re.MULTILINE | re.DOTALL
        )
        assert listed is not None
        rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", listed[1], re.MULTILINE)
        assert [column for column, _ in rows] == frame.columns[1:].tolist()
        for column, kind in rows:
            known = "str" if isinstance(frame[column].dtype, pd.StringDtype) else str(frame[column].dtype)
            assert known == kind, f"{name}.{column}"


def test_pages_that_are_made_are_up_to_date() -> None:
    for name, page in pages().items():
        assert (DOCS / name).read_text() == page, "run `make docs`"


def test_every_column_has_a_meaning() -> None:
    for schema, meaning in ALL_TABLES.values():
        assert meaning
        assert all(field.metadata[b"meaning"] for field in schema)
