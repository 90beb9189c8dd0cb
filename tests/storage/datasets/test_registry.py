from __future__ import annotations

from pathlib import Path

import pytest
from published import COPIES
from tiny import write_category

from storage.datasets.dataset import Dataset
from storage.datasets.layouts.dagm import Dagm
from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.mvtec import Btad, Mvtec
from storage.datasets.layouts.visa import Visa
from storage.datasets.notify import Notify
from storage.datasets.registry import Registration, read_registry, resolve
from storage.errors import DatasetError

SHIPPED = Path(__file__).parents[3] / "deployments" / "datasets.toml"
REGISTRY = """
[configurations.quick]
backbone = "resnet18"
levels = [16]

[datasets.parts]
root = "parts"
categories = ["nut"]
configurations = ["quick"]

[datasets.tiles]
root = "${TILES}/tiles"
layout = { kind = "folders", normal = ["good/*"], anomalous = { crack = "bad/c*" }, train_number = 3 }

[datasets.remote]
root = "s3://bucket/parts/"
"""


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TILES", "/data")
    path = tmp_path / "somewhere" / "datasets.toml"
    path.parent.mkdir()
    path.write_text(REGISTRY)
    return path


def test_an_entry_is_a_dataset_with_categories_and_configurations(registry: Path) -> None:
    entries = read_registry(registry).entries
    assert entries["parts"] == Registration(
        Dataset(str(registry.parent / "parts"), "parts", Mvtec()),
        ("nut",),
        {"quick": {"backbone": "resnet18", "levels": [16]}},
    )
    layout = Folders(normal=("good/*",), anomalous={"crack": "bad/c*"}, train_number=3)
    assert entries["tiles"] == Registration(Dataset("/data/tiles", "tiles", layout))
    assert entries["remote"].dataset.root == "s3://bucket/parts"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("root = '${NOWHERE}/x'", r"root is '\$\{NOWHERE\}/x': set the environment variable NOWHERE"),
        ("rot = 'x'", "rot is no setting: did you mean root"),
        ("categories = ['nut']", "root"),
        ("root = 'x'\ncategories = 'nut'", "categories is 'nut': Input should be a valid tuple"),
        ("root = 'x'\nconfigurations = ['quik']", r"no \[configurations.quik\]: did you mean quick"),
        (
            "root = 'x'\nlayout = { kind = 'folder' }",
            "layout.kind is 'folder': it is one of mvtec, mpdd, btad, ",
        ),
        ("root = 'x'\nlayout = { kind = 'mvtec', normal = ['*'] }", "layout: normal is no setting"),
        ("root = 'x'\nlayout = { kind = 'folders' }", "layout: neither normal nor train_normal"),
        (
            "root = 'x'\nlayout = { kind = 'folders', normal = ['*'], mask_threshold = 'half' }",
            "layout: mask_threshold is 'half': Input should be a valid integer",
        ),
    ],
)
def test_an_entry_that_cannot_be_used_fails_alone(registry: Path, written: str, message: str) -> None:
    with registry.open("a") as file:
        file.write(f"\n[datasets.wrong]\n{written}\n")
    found = read_registry(registry)
    assert set(found.entries) == {"parts", "tiles", "remote"}
    with pytest.raises(DatasetError, match=f"datasets.toml, dataset 'wrong': .*{message}"):
        found.entry("wrong")


@pytest.mark.parametrize("written", ["[datasets", "datasets = 3\n\xe9"])
def test_a_file_that_is_no_registry_is_named(tmp_path: Path, written: str) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text(written, "latin-1")
    with pytest.raises(DatasetError, match=r"the registry .*datasets\.toml cannot be read .*--registry"):
        read_registry(path)
    with pytest.raises(DatasetError, match=r"absent\.toml cannot be read .*No such file"):
        read_registry(tmp_path / "absent.toml")


def test_a_name_that_is_registered_is_that_dataset(registry: Path) -> None:
    assert resolve("tiles", str(registry)).dataset.root == "/data/tiles"


def test_any_other_name_is_a_folder_or_a_url(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(registry.parent)
    write_category(registry.parent / "here", "nut")
    assert resolve("here", str(registry)).dataset == Dataset(str(registry.parent / "here"), "here")
    assert resolve("./parts", str(registry)).dataset == Dataset(str(registry.parent / "parts"), "parts")
    assert resolve("s3://bucket/other", str(registry), "mvtec").dataset == Dataset(
        "s3://bucket/other", "other"
    )
    with pytest.raises(DatasetError, match=r"'tile' is no folder, and no dataset in .*did you mean tiles\?"):
        resolve("tile", str(registry))
    assert resolve("tile").dataset.name == "tile"  # no default registry here


def test_the_shipped_registry_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPADE_DATA", raising=False)
    assert set(read_registry(SHIPPED).errors) == {"bottle", "reduced", "magnetic_tile"}
    monkeypatch.setenv("SPADE_DATA", "s3://images")
    found = read_registry(SHIPPED)
    assert not found.errors
    assert found.entry("bottle").dataset.root == "s3://images/mvtec"
    assert all(list(entry.configurations) == ["lite0"] for entry in found.entries.values())


def test_the_layout_of_a_folder_is_the_one_named_or_the_one_it_shows(tmp_path: Path) -> None:
    COPIES["btad"](tmp_path)
    assert resolve(str(tmp_path)).dataset.layout == Btad()
    assert resolve(str(tmp_path), layout="dagm").dataset.layout == Dagm()
    with pytest.raises(DatasetError, match=r"no layout 'vis': did you mean visa"):
        resolve(str(tmp_path), layout="vis")
    with pytest.raises(DatasetError, match=r"the layout folders needs settings \(neither normal nor"):
        resolve(str(tmp_path), layout="folders")


def test_a_layout_that_is_named_replaces_the_registered_one(registry: Path) -> None:
    assert resolve("parts", str(registry), "visa").dataset.layout == Visa()


def test_who_is_told_is_kept_as_it_is_written(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registry.open("a") as file:
        file.write('\n[notify]\nurl = "${HOOK}"\nevents = ["worse"]\n')
    notify = read_registry(registry).notify
    assert notify == Notify("${HOOK}", ("worse",))
    with pytest.raises(ValueError, match=r"notify.url is '\$\{HOOK\}': set the environment variable HOOK"):
        notify.address()
    monkeypatch.setenv("HOOK", "ftp://secret")
    with pytest.raises(ValueError, match=r"notify.url is '\$\{HOOK\}': it begins with https://"):
        notify.address()
    monkeypatch.setenv("HOOK", "https://chat/secret")
    assert notify.address() == "https://chat/secret"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("notify = 'https://chat'", r"notify is 'https://chat': write a table \[notify\]"),
        ("[notify]\nevents = ['worse']", "notify: url"),
        ("[notify]\nurl = 'x'\nevents = ['bad']", "notify: events has 'bad': it is one of failed, worse"),
        ("[notify]\nurl = 'x'\nevent = ['bad']", "notify: event is no setting: did you mean events"),
        ("mlflow = 'https://server'", r"mlflow is 'https://server': write a table \[mlflow\]"),
        ("[mlflow]\nurl = 'https://server'", "mlflow: url is no setting: did you mean uri"),
    ],
)
def test_what_is_declared_beside_datasets_is_checked(tmp_path: Path, written: str, message: str) -> None:
    (tmp_path / "datasets.toml").write_text(written)
    with pytest.raises(DatasetError, match=message):
        read_registry(tmp_path / "datasets.toml")
