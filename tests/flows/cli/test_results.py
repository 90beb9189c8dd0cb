from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from command import spade

from storage.results.metrics import COMPARED
from storage.results.schemas import TABLES
from storage.store.store import Store

SPADE, DN2 = "spade(k_gallery=2)", "dn2(k=1)"


@pytest.mark.parametrize("table", sorted(TABLES.keys() - {"changes", "reproduction", "robustness"}))
def test_every_table_can_be_read_as_text_csv_and_json(finished: Path, table: str) -> None:
    code, text, _ = spade("results", "--store", finished, "--table", table)
    assert code == 0
    assert "┃" in text
    code, text, _ = spade("results", "--store", finished, "--table", table, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    code, text, _ = spade("results", "--store", finished, "--table", table, "--format", "json")
    objects = json.loads(text)
    assert len(rows) == len(objects) > 0
    assert list(rows[0]) == list(objects[0])
    assert objects[0]["run"] == "one"
    assert objects[0].get("category", "007") in ("007", None)


def test_the_rows_of_one_method_are_shown(finished: Path) -> None:
    def shown(table: str, method: str) -> list[dict[str, Any]]:
        options = ("--table", table, "--method", method, "--format", "json")
        code, text, error = spade("results", "--store", finished, *options)
        assert (code, error) == (0, "")
        return list(json.loads(text))

    for method in (SPADE, DN2):
        assert [row["method"] for row in shown("categories", method)] == [method] * 2
        assert {row["method"] for row in shown("stages", method)} == {method}
        assert len(shown("method_comparisons", method)) == 2 * len(COMPARED)
    code, text, _ = spade("results", "--store", finished, "--method", DN2)
    assert code == 0
    assert "┃ method" not in text  # a column that is the same everywhere
    assert "no anomaly map because" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--method", "dn2"],
            r"no method 'dn2' in the table categories: it has spade\(k_gallery=2\), dn2\(k=1\)",
        ),
        (["--table", "runs", "--method", DN2], "the table runs tells no methods apart: leave --method out"),
    ],
)
def test_a_method_that_is_not_there_is_named(finished: Path, options: list[str], message: str) -> None:
    code, out, error = spade("results", "--store", finished, *options)
    assert (code, out) == (2, "")
    assert re.search(message, error)


def test_maps_are_those_of_a_method(finished: Path, tmp_path: Path) -> None:
    code, out, _ = spade("export", tmp_path / "maps", "--store", finished, "--category", "nut")
    sidecar = tmp_path / "maps" / "maps.json"
    assert (code, out) == (0, f"scale and files: {sidecar}\n")
    assert json.loads(sidecar.read_text())["method"] == SPADE
    code, _, error = spade("export", tmp_path / "none", "--store", finished, "--method", DN2)
    assert (code, f"no anomaly map by {DN2} in run one" in error) == (2, True)
    assert not (tmp_path / "none").exists()
    code, _, error = spade("export", tmp_path / "none", "--store", finished, "--format", "gif")
    assert (code, 'Invalid value "gif" for --format. Choose from: "tiff"' in error) == (2, True)


def test_a_report_is_written_and_opened(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    page = tmp_path / "pages" / "index.html"
    code, out, _ = spade("report", "one", "--store", finished, "--output", page.parent, "--open")
    assert (code, out, opened) == (0, f"report: {page}\n", [page.as_uri()])
    assert page.is_file()
    code, _, error = spade("report", "two", "--store", finished)
    assert (code, "no finished run 'two'" in error) == (2, True)
    code, out, _ = spade("report", "--store", finished, "--output", tmp_path / "dn2", "--method", DN2)
    assert (code, DN2 in (tmp_path / "dn2" / "index.html").read_text()) == (0, True)
    code, _, error = spade("report", "--store", finished, "--method", "padim")
    assert (code, f"no method 'padim' in run one: it has {SPADE}, {DN2}" in error) == (2, True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    code, _, error = spade("report", "--store", finished, "--output", tmp_path / "mine")
    assert (code, "holds other files and no report" in error) == (2, True)


def test_an_unknown_run_and_a_missing_store_are_named(finished: Path, tmp_path: Path) -> None:
    code, _, error = spade("results", "--store", finished, "--run", "two")
    assert (code, "no finished run 'two'" in error, "it has one" in error) == (2, True, True)
    code, _, error = spade("results", "--store", tmp_path / "nowhere")
    assert (code, "no store at" in error) == (2, True)


def test_repair_names_what_it_drops(finished: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished, tmp_path / "copy"))
    code, out, _ = spade("repair", "--store", copy)
    assert (code, out) == (0, "all whole\n")
    path = Path(Store.open(copy).indices()[0])
    path.write_bytes(path.read_bytes()[:-1])
    code, out, _ = spade("repair", "--store", copy)
    assert code == 0
    assert f"dropped index {path}: its SHA-256 is not the one recorded" in out
    assert not path.exists()
