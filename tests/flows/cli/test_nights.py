from __future__ import annotations

import json
import shutil
from pathlib import Path

from command import spade

from storage.results.schemas import CATEGORIES, IMAGES
from storage.store.location import location
from storage.store.tables import read_table, table_bytes, table_of

SPADE = "spade(k_gallery=2)"


def test_a_run_is_compared_with_itself_and_with_none(finished: Path) -> None:
    code, text, _ = spade("compare", "one", "one", "--store", finished)
    assert code == 0
    assert text.count("same") == 10
    code, text, _ = spade("compare", "--store", finished, "--format", "json")
    rows = json.loads(text)
    assert code == 0
    assert {(row["run"], row["verdict"]) for row in rows} == {("one", "new")}
    code, _, error = spade("compare", "two", "--store", finished)
    assert (code, "no finished run 'two'" in error) == (2, True)


def test_a_run_that_is_worse_ends_with_exit_code_1(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    shutil.copytree(copy / "runs" / "one", copy / "runs" / "two")
    path = copy / "runs" / "two" / "images.parquet"
    rows = read_table(location(path)).to_pylist()
    for row in rows:
        if row["method"] == SPADE and row["anomalous"]:
            row["score_map"] = -1.0
    path.write_bytes(table_bytes(table_of(rows, IMAGES)))
    path = copy / "runs" / "two" / "categories.parquet"
    rows = read_table(location(path)).to_pylist()
    for row in rows:
        if row["method"] == SPADE:
            row |= {"image_rocauc_map": 0.0, "score_key": "other"}
    path.write_bytes(table_bytes(table_of(rows, CATEGORIES)))
    code, text, _ = spade("compare", "two", "one", "--store", copy, "--format", "json")
    found = {(row["metric"], row["verdict"]) for row in json.loads(text) if row["method"] == SPADE}
    assert code == 1
    assert found == {
        ("image_rocauc_embedding", "same"),
        ("image_rocauc_map", "worse"),
        ("pixel_rocauc", "not comparable"),
        ("pro", "not comparable"),
    }
    code, text, _ = spade("compare", "two", "one", "--store", copy, "--tolerance", "1")
    assert (code, "worse" in text) == (0, False)
