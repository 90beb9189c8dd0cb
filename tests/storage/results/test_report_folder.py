from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import StoreError
from storage.results.report_folder import ReportFolder


def test_a_report_is_written_over_an_earlier_one(tmp_path: Path) -> None:
    first = ReportFolder(tmp_path / "new" / "report", "one")
    first.write("01-a/tiles/x.jpg", b"x")
    first.write("index.html", "old")
    second = ReportFolder(str(tmp_path / "new" / "report"), "two")
    assert [path.name for path in second.root.iterdir()] == ["spade-report.json"]
    second.write("index.html", "größer")
    assert Path(str(second.index)).read_text(encoding="utf-8") == "größer"


def test_an_empty_folder_is_used_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    ReportFolder(tmp_path / "empty", "one")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "index.html").write_text("mine")
    with pytest.raises(StoreError, match="holds other files and no report: name a new folder as --output"):
        ReportFolder(tmp_path / "full", "one")
    assert (tmp_path / "full" / "index.html").read_text() == "mine"


def test_a_folder_behind_a_link_is_not_emptied(tmp_path: Path) -> None:
    ReportFolder(tmp_path / "report", "one")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "report" / "link").symlink_to(tmp_path / "mine")
    ReportFolder(tmp_path / "report", "two")
    assert (tmp_path / "mine" / "file").read_text() == "mine"
    assert not (tmp_path / "report" / "link").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"no report can be written to .*name another folder as --output"):
        ReportFolder(tmp_path / "file" / "report", "one")
