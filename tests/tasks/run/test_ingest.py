from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import write_category

from storage.datasets import scan
from storage.datasets.dataset import Dataset, read_content
from storage.datasets.manifest import last_manifest
from tasks.core.config import Configuration
from tasks.job import Job, Request
from tasks.run import ingest as module
from tasks.run.ingest import ingest
from tasks.run.prepare import prepare


@pytest.fixture
def job(tmp_path: Path, settings: Callable[..., Configuration]) -> Job:
    """On a dataset of 49 images and 15 masks, unchanged for long."""
    write_category(tmp_path / "data", "nut", train=24, normal=10, anomalous=15)
    for path in (tmp_path / "data").rglob("*.png"):
        os.utime(path, ns=(0, 10**18))
    return prepare(Request(Dataset.at(tmp_path / "data"), str(tmp_path / "store"), settings()))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, as they are."""
    read: list[str] = []
    content = read_content

    def count(dataset: Dataset, name: str) -> bytes:
        read.append(name)
        return content(dataset, name)

    monkeypatch.setattr(scan, "read_content", count)
    return read


def test_a_night_reads_what_changed_and_all_to_verify(job: Job, reads: list[str], tmp_path: Path) -> None:
    assert ingest.fn(job).computed == 49
    assert len(reads) == 49 + 15
    reads.clear()
    assert ingest.fn(job).computed == 0
    assert reads == []
    (changed,) = (tmp_path / "data").glob("nut/train/good/000.png")
    changed.write_bytes((tmp_path / "data/nut/train/good/001.png").read_bytes())
    ingest.fn(job)
    assert reads == ["nut/train/good/000.png"]
    reads.clear()
    ingest.fn(job, verify=True)
    assert len(reads) == 49 + 15


@pytest.mark.parametrize("every", [0.0, 1000.0])
def test_what_was_read_before_an_interruption_is_not_read_again(
    job: Job, reads: list[str], monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    monkeypatch.setattr(module, "_EVERY", every)

    def stop(done: int, total: int) -> None:  # noqa: ARG001
        if done == 33:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "report_files", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest.fn(job)
    known = last_manifest(job.open_store(), "data")
    assert known is not None
    assert len(known.files) >= 33
    reads.clear()
    ingest.fn(job)
    again: Any = {name for name in reads if "ground_truth" not in name}
    assert again.isdisjoint(image.image_id for image in known.files)
    assert len(again) == 49 - len(known.files)
