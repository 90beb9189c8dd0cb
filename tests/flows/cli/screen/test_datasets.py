from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from published import COPIES
from tiny import write_category

from flows.cli.screen.datasets import add_dataset, inspect_dataset, print_layouts
from storage.datasets import scan
from storage.datasets.dataset import Dataset
from storage.datasets.layouts.known import LAYOUTS
from storage.datasets.registry import Registration, resolve
from storage.errors import StoreError
from storage.store.store import Store
from storage.store.tables import table_bytes


@pytest.fixture
def named(tmp_path: Path) -> Registration:
    """A dataset whose anomalous images have no masks."""
    write_category(tmp_path / "data", "nut", anomalous=3)
    for mask in (tmp_path / "data/nut/ground_truth/square").iterdir():
        mask.unlink()
    return Registration(Dataset.at(tmp_path / "data"))


def test_each_kind_of_problem_has_one_line_unless_every_file_is_asked_for(
    named: Registration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = tmp_path / "data/nut/train/good"
    for number in (5, 6):
        (good / f"{number}.png").symlink_to(f"{number}.png")
    (good / "empty.png").write_bytes(b"")
    (tmp_path / "data/nut/test/good" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    inspect_dataset(named, str(tmp_path / "store"))
    assert capsys.readouterr().out.splitlines()[-5:] == [
        "set aside in nut: 1 file: nut/test/good/caf\\xe9.png: the name is not UTF-8: rename it",
        "without mask in nut: 3 files, such as nut/test/square/000.png: no mask",
        "set aside in nut: 2 files, such as nut/train/good/5.png: a symbolic link that leads back to itself",
        "set aside in nut: 1 file: nut/train/good/empty.png: unreadable: the file is empty",
        "(--all names every file)",
    ]
    inspect_dataset(named, str(tmp_path / "store"), every=True)
    out = capsys.readouterr().out
    assert "--all" not in out
    assert out.count("without mask: nut/test/square/") == 3
    assert "set aside: nut/train/good/6.png: a symbolic link that leads back to itself" in out


def test_a_store_in_a_bucket_is_looked_at(
    named: Registration,
    tmp_path: Path,
    bucket: str,
    refuse: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inspect_dataset(named, f"{bucket}/new")
    store = Store.open(f"{bucket}/store", create=True)
    store.write(store.manifest("data"), table_bytes(scan.read_manifest(named.dataset).table()))
    decoded: list[bytes] = []
    monkeypatch.setattr(scan, "decode_image", decoded.append)
    inspect_dataset(named, f"{bucket}/store")
    assert not decoded
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").write_bytes(b"")
    with pytest.raises(StoreError, match="holds other files and is no store"):
        inspect_dataset(named, str(tmp_path / "photos"))
    refuse()
    with pytest.raises(StoreError, match="cannot be used"):
        inspect_dataset(named, f"{bucket}/store")


def test_layout_masks_and_published_numbers_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "visa").mkdir()
    COPIES["visa"](tmp_path / "visa")
    inspect_dataset(resolve(str(tmp_path / "visa")), str(tmp_path / "store"))
    out = capsys.readouterr().out
    assert out.startswith(f"{tmp_path / 'visa'}: layout visa\n")
    assert "0 to 2, anomalous above 0" in out
    assert "VisA candle: 4 of 900 train" in out
    assert "VisA: 10 categories are not there: capsules, " in out
    (tmp_path / "loco").mkdir()
    COPIES["mvtec_loco"](tmp_path / "loco")
    inspect_dataset(resolve(str(tmp_path / "loco")), str(tmp_path / "store"))
    assert "validation" in capsys.readouterr().out


def test_every_layout_is_listed_with_what_it_expects(capsys: pytest.CaptureFixture[str]) -> None:
    print_layouts()
    out = capsys.readouterr().out
    assert all(f"\n{kind}\n    " in f"\n{out}" for kind in LAYOUTS)
    assert "    kosNN/PartN_label.bmp\n" in out


def test_an_entry_is_shown_and_written_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, registry = tmp_path / "data", tmp_path / "datasets.toml"
    root.mkdir()
    COPIES["btad"](root)
    add_dataset("btad", str(root), str(registry), write=False)
    assert not registry.exists()
    assert f"(--yes writes the entry to {registry})" in capsys.readouterr().out
    add_dataset("btad", str(root), str(registry), write=True)
    assert 'layout = { kind = "btad" }' in capsys.readouterr().out
    assert resolve("btad", str(registry)).dataset.name == "btad"
