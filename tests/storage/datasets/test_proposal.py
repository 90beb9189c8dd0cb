from __future__ import annotations

from pathlib import Path

import pytest
from published import COPIES

from storage.datasets.proposal import propose, register
from storage.datasets.registry import read_registry
from storage.datasets.scan import read_manifest
from storage.errors import DatasetError


@pytest.mark.parametrize("kind", COPIES)
def test_an_entry_that_is_written_is_read_as_the_same_dataset(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    COPIES[kind](root)
    registry = tmp_path / "new" / "datasets.toml"
    found = propose("größe 2", str(root), None if kind != "mpdd" else kind)
    register(registry, found)
    entry = read_registry(registry).entry("größe 2")
    assert entry.dataset == found.dataset
    assert read_manifest(entry.dataset) == found.manifest
    with pytest.raises(DatasetError, match="has a dataset 'größe 2': choose another name"):
        register(registry, found)


def test_what_is_there_stays_and_what_was_found_is_said(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    COPIES["visa"](root)
    registry = tmp_path / "datasets.toml"
    registry.write_text('# mine\n[datasets.other]\nroot = "x"\n')
    register(registry, propose("visa", str(root)))
    assert registry.read_text() == (
        f'# mine\n[datasets.other]\nroot = "x"\n\n[datasets.visa]\nroot = "{root}"\n'
        "# candle: 4 to train with, 0 to validate, 3 to test, 0 unlabelled, 0 set aside, "
        "masks 0 to 2, anomalous above 0\n"
        "# pcb1: 4 to train with, 0 to validate, 3 to test, 0 unlabelled, 0 set aside, "
        "masks 0 to 2, anomalous above 0\n"
        'layout = { kind = "visa" }\n'
    )


def test_what_cannot_be_evaluated_is_not_proposed(tmp_path: Path) -> None:
    (tmp_path / "nut/train/good").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no usable training image"):
        propose("nuts", str(tmp_path))
