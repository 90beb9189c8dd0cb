from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from s3 import put
from tampering import names_below

from storage.errors import StoreError
from storage.results.report_folder import ReportFolder
from storage.store.files import Files
from storage.store.location import location, read_bytes


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.getfixturevalue('bucket') if request.param == 'bucket' else tmp_path}/new/report"


def test_a_report_is_written_over_an_earlier_one(root: str) -> None:
    first = ReportFolder(root, "one")
    first.write("01-a/tiles/x.jpg", b"x")
    first.write("index.html", "old")
    second = ReportFolder(location(root), "two")
    assert names_below(second.root) == ["spade-report.json"]
    second.write("index.html", "größer")
    assert read_bytes(second.index).decode("utf-8") == "größer"


def test_the_page_to_open_goes_first_and_the_mark_of_a_report_last(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ReportFolder(root, "one")
    for name in ("a.html", "index.html", "z/z.html"):
        first.write(name, b"")
    removed: list[str] = []
    monkeypatch.setattr(Files, "remove", lambda _, paths: removed.extend(path.name for path in paths))
    ReportFolder(root, "two")
    page, *others, mark = removed
    assert (page, sorted(others), mark) == ("index.html", ["a.html", "z"], "spade-report.json")


def test_an_empty_folder_is_used_and_a_full_one_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ReportFolder(tmp_path / "empty", "one")
    for name in ("index.html", ".hidden"):
        (tmp_path / f"with {name}").mkdir()
        (tmp_path / f"with {name}" / name).write_text("mine")
        with pytest.raises(StoreError, match="holds other files and no report: name a new folder as --outp"):
            ReportFolder(tmp_path / f"with {name}", "one")
        assert (tmp_path / f"with {name}" / name).read_text() == "mine"


def test_a_bucket_with_other_objects_is_left_alone(s3: str, bucket: str) -> None:
    put(s3, f"{bucket}/index.html", b"mine")
    with pytest.raises(StoreError, match="holds other files and no report: name a new folder as --output"):
        ReportFolder(bucket, "one")
    assert read_bytes(location(bucket) / "index.html") == b"mine"


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
    for root in (f"{tmp_path}/file/report", "warp://bucket/report", "s3://"):
        with pytest.raises(
            StoreError, match=rf"no report can be written to {root} \(.*name another folder as --output"
        ):
            ReportFolder(root, "one")


@pytest.mark.usefixtures("s3")
def test_an_absent_bucket_is_named_with_the_remedy() -> None:
    with pytest.raises(StoreError, match=r"s3://absent/report .*: create the bucket, .*AWS_ENDPOINT_URL"):
        ReportFolder("s3://absent/report", "one")


def test_a_bucket_that_refuses_is_named_with_the_remedy(bucket: str, refuse: Callable[[], None]) -> None:
    report = ReportFolder(f"{bucket}/report", "one")
    refuse()
    for access in (lambda: report.write("index.html", b""), lambda: ReportFolder(f"{bucket}/report", "two")):
        with pytest.raises(StoreError, match=rf"{bucket}/report.* cannot be used \(.*AWS_ACCESS_KEY_ID"):
            access()
