"""What holds for every layout that is known, and for one that is added."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import TypeAdapter
from tiny import write_image

from storage.datasets.dataset import Dataset
from storage.datasets.layouts.file import File
from storage.datasets.layouts.interface import Layout
from storage.datasets.layouts.known import LAYOUTS, MVTEC, recognise
from storage.datasets.registry import read_registry
from storage.datasets.scan import read_manifest
from storage.datasets.tree import Tree

NEEDED: dict[str, dict[str, Any]] = {"folders": {"normal": ("good/*",)}}


@dataclass(frozen=True)
class Toy(Layout):
    """Good images begin with a g, all others with the name of their defect; every other one is trained with.

    NAME.png
    """

    every: int = 2
    kind: Literal["toy"] = "toy"

    def categories(self, tree: Tree, name: str) -> list[str]:  # noqa: ARG002
        return [name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        for file in tree.listing().files:
            good = file.startswith("g")
            yield File(name, "undecided" if good else "test", file, "good" if good else "bad")

    def trained(self, contents: Any) -> set[str]:
        return set(sorted(contents)[:: self.every])


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_layout_is_named_described_and_survives_the_table_of_runs(kind: str) -> None:
    layout = LAYOUTS[kind](**NEEDED.get(kind, {}))
    assert layout.kind == kind
    assert len((type(layout).__doc__ or "").splitlines()) > 2
    assert "kind" in {field.name for field in fields(layout)}
    dataset = Dataset("/somewhere", "name", layout)
    record = {"root": "/somewhere", "dataset": "name", "layout": dataset.layout_json}
    assert Dataset.of_run(record) == dataset
    adapter = TypeAdapter(Dataset)
    assert adapter.validate_json(adapter.dump_json(dataset)) == dataset


@pytest.mark.parametrize("kind", LAYOUTS)
def test_an_empty_folder_is_no_dataset_of_any_layout(kind: str, tmp_path: Path) -> None:
    assert not LAYOUTS[kind].recognises(Tree(tmp_path))
    assert recognise(Tree(tmp_path)) is None
    assert Dataset.at(tmp_path).recognised().layout == MVTEC


def test_a_layout_that_is_added_is_known_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "toy", Toy)
    for number, name in enumerate(("g1", "g2", "g3", "broken")):
        write_image(tmp_path / f"data/{name}.png", np.full((4, 5), number, np.uint8))
    registry = tmp_path / "datasets.toml"
    registry.write_text("[datasets.toy]\nroot = 'data'\nlayout = { kind = 'toy', every = 3 }")
    dataset = read_registry(registry).entry("toy").dataset
    assert dataset.layout == Toy(every=3)
    manifest = read_manifest(dataset)
    assert (len(manifest.train()), len(manifest.test())) == (1, 3)
    assert Dataset.of_run({"root": dataset.root, "dataset": "toy", "layout": dataset.layout_json}) == dataset
