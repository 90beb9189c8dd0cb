from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from tiny import write_category
from torch import nn

from storage.datasets.dataset import Dataset
from storage.errors import StoreError
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.registry import parse_methods
from tasks.core.methods.spade import Spade
from tasks.job import Request
from tasks.methods.by_name import score, scoring_of
from tasks.methods.index import index
from tasks.run import plan as module
from tasks.run.extract import extract
from tasks.run.ingest import ingest
from tasks.run.plan import Costs, Estimate, Plan, Work, estimate, plan, products
from tasks.run.prepare import prepare

SPADE = Spade(k_image=3, k_gallery=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of 4 + 5 and 3 + 5 images, and one without training images."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "bolt", seed=7)
    write_category(root, "nut", train=3, seed=2)
    write_category(root, "void", train=0)
    return root


@pytest.fixture(scope="module")
def before(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Plan:
    """The plan of a run whose store does not exist."""
    folder = tmp_path_factory.mktemp("before")
    planned = plan(
        Request(Dataset.at(dataset), str(folder / "deep" / "store"), settings(), (SPADE,), device="cpu")
    )
    assert list(folder.iterdir()) == []
    return planned


@pytest.fixture(scope="module")
def finished(
    dataset: Path, settings: Callable[..., Configuration], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store in which `bolt` and `nut` are scored."""
    store = tmp_path_factory.mktemp("finished") / "store"
    request = Request(Dataset.at(dataset), str(store), settings(), (SPADE,), run_id="run", device="cpu")
    job = prepare.fn(request)
    ingest.fn(job)
    for category in ("bolt", "nut"):
        _, part = extract.fn(job.part(category))
        index.fn(part)
        score.fn([scoring_of(part, SPADE)])
    return store


@pytest.fixture
def without_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("calibrated")

    monkeypatch.setattr(module, "calibrate", refuse)


@pytest.fixture
def fixed_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "calibrate", lambda _: Costs(forward_seconds=60, match_seconds=6))


def counts(planned: Plan) -> dict[str, tuple[int, int, int]]:
    """Images, to extract, to score; by category and in total."""
    return {
        row.category: (row.images, row.extract, row.score) for row in (*planned.categories, planned.total)
    }


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_before_a_run_everything_is_missing(before: Plan) -> None:
    assert counts(before) == {"bolt": (9, 9, 5), "nut": (8, 8, 5), "void": (5, 0, 0), "total": (22, 17, 10)}
    bolt, _, void = before.categories
    assert void.reason is not None
    assert "no usable training image" in void.reason
    assert void.minutes == 0
    assert bolt.minutes > 0
    assert before.device == "cpu"


def test_products_are_counted_as_by_hand(before: Plan) -> None:
    bolt = before.categories[0]
    convolutions = [(112, 3, 64, 7), *[(56, 64, 64, 3)] * 4]
    for side, width in ((28, 128), (14, 256), (7, 512)):
        convolutions += [(side, width // 2, width, 3), *[(side, width, width, 3)] * 3]
        convolutions += [(side, width // 2, width, 1)]
    forward = sum(side**2 * inputs * outputs * kernel**2 for side, inputs, outputs, kernel in convolutions)
    assert bolt.forward_gmac == pytest.approx(9 * forward / 1e9)
    assert bolt.match_gmac == pytest.approx(5 * 2 * 3136 * 3136 * (64 + 128 + 256) / 1e9)


def test_averaged_levels_are_matched_each_on_its_own() -> None:
    shapes = [(6, 5, 3), (3, 2, 8)]
    assert products(shapes, "concatenate") == 30 * 30 * (3 + 8)
    assert products(shapes, "average") == 30 * 30 * 3 + 6 * 6 * 8


def test_layers_of_every_kind_are_counted_once_an_image() -> None:
    network = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5))
    with module._counting(network) as macs:
        network(torch.zeros(7, 4, 4, 4))
    network(torch.zeros(7, 4, 4, 4))
    assert macs == [2 * 2 * 6 * (4 // 2) * 9, 24 * 5]


def test_no_more_is_written_than_planned(before: Plan, finished: Path) -> None:
    arrays: dict[str, int] = {}
    for path in [*finished.glob("features/*/segments/*/*"), *finished.glob("scores/*/segments/*/map")]:
        if path.is_dir():
            array = zarr.open_array(path, mode="r")
            assert array.dtype == np.float32
            arrays[path.parts[-5]] = arrays.get(path.parts[-5], 0) + array.nbytes
    planned = {"features": before.total.feature_gib * 2**30, "scores": before.total.map_gib * 2**30}
    assert arrays == pytest.approx(planned)
    assert size(finished / "features") <= planned["features"]
    assert size(finished / "scores") <= planned["scores"]


@pytest.mark.usefixtures("without_calibration")
def test_after_a_run_nothing_is_missing(
    dataset: Path, finished: Path, settings: Callable[..., Configuration]
) -> None:
    there = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    planned = plan(Request(Dataset.at(dataset), str(finished), settings(), (SPADE,)))
    assert counts(planned)["total"] == (22, 0, 0)
    assert planned.total == Estimate("total", 22, 0, 0, 0, 0, 0, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == there


@pytest.mark.usefixtures("without_calibration")
@pytest.mark.parametrize(
    ("methods", "other"),
    [(("dn2",), 10), (("spade", "dn2"), 10), (("ensemble(methods=('spade', 'dn2'))", "dn2"), 20)],
)
def test_scores_by_other_methods_are_counted(
    methods: tuple[str, ...],
    other: int,
    dataset: Path,
    finished: Path,
    settings: Callable[..., Configuration],
) -> None:
    found = parse_methods(methods, {"spade": {"k_image": 3, "k_gallery": 2}})
    planned = plan(Request(Dataset.at(dataset), str(finished), settings(), found))
    assert (planned.total.score, planned.total.other) == (0, other)


@pytest.mark.usefixtures("without_calibration")
def test_without_spade_none_of_its_scores_are_missing(
    dataset: Path, finished: Path, settings: Callable[..., Configuration]
) -> None:
    planned = plan(Request(Dataset.at(dataset), str(finished), settings(), parse_methods(["dn2"])))
    assert (planned.total.score, planned.total.other) == (0, 10)


@pytest.mark.usefixtures("without_calibration")
def test_a_k_above_the_number_of_images_counts_as_that_number(
    dataset: Path, finished: Path, settings: Callable[..., Configuration]
) -> None:
    planned = plan(
        Request(Dataset.at(dataset), str(finished), settings(), (Spade(k_image=9, k_gallery=2),), ("nut",))
    )
    assert counts(planned)["nut"] == (8, 0, 0)


@pytest.mark.usefixtures("fixed_costs")
def test_another_k_scores_again_and_extracts_nothing(
    dataset: Path, finished: Path, settings: Callable[..., Configuration]
) -> None:
    planned = plan(Request(Dataset.at(dataset), str(finished), settings(), (Spade(k_image=3),)))
    assert counts(planned)["total"] == (22, 0, 10)
    assert [row.minutes for row in planned.categories] == pytest.approx([5 * 4 / 10, 5 * 3 / 10, 0])


@pytest.mark.usefixtures("fixed_costs")
def test_other_features_are_extracted_and_scored_again(
    dataset: Path, finished: Path, settings: Callable[..., Configuration]
) -> None:
    planned = plan(Request(Dataset.at(dataset), str(finished), settings(protocol="full"), (SPADE,), ("nut",)))
    assert counts(planned) == {"nut": (8, 8, 5), "total": (8, 8, 5)}
    assert planned.total.minutes == pytest.approx(8 + 5 * 2 / 10)


@pytest.mark.usefixtures("fixed_costs")
def test_an_image_in_two_places_is_extracted_once(
    settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    for category in ("bolt", "bolt again"):
        write_category(tmp_path / "data", category, train=2, normal=1, anomalous=1)
    copy = tmp_path / "data" / "bolt" / "test" / "good" / "copy.png"
    copy.write_bytes((copy.parent / "000.png").read_bytes())
    planned = plan(Request(Dataset.at(tmp_path / "data"), str(tmp_path / "store"), settings(), (SPADE,)))
    assert counts(planned) == {"bolt": (5, 4, 2), "bolt again": (4, 0, 2), "total": (9, 4, 4)}


def test_an_estimate_is_work_times_costs() -> None:
    work = Work("nut", images=7, extract=4, score=3, pairs=15, other=6, maps=3)
    costs = Costs(2**30, 2**29, 10**9, 10**8, forward_seconds=3.0, match_seconds=2.0)
    assert estimate(work, costs) == Estimate("nut", 7, 4, 3, 6, 4.0, 1.5, 4.0, 1.5, 0.7)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch-size is 0"),
        ({"device": "warp"}, "device is 'warp'"),
    ],
)
@pytest.mark.usefixtures("without_calibration")
def test_wrong_arguments_are_named(
    wrong: dict[str, Any],
    message: str,
    dataset: Path,
    settings: Callable[..., Configuration],
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        plan(Request(Dataset.at(dataset), str(tmp_path / "store"), settings(), **wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_calibration")
def test_a_folder_that_can_be_no_store_is_refused(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(StoreError, match=r"holds other files.*--store"):
        plan(Request(Dataset.at(dataset), str(tmp_path), settings()))
    with pytest.raises(StoreError, match=r"cannot be used .*thesis\.tex is not a folder.*--store"):
        plan(Request(Dataset.at(dataset), str(tmp_path / "thesis.tex" / "store"), settings()))


def test_weights_that_do_not_fit_are_named(
    dataset: Path, settings: Callable[..., Configuration], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="do not fit resnet34"):
        plan(Request(Dataset.at(dataset), str(tmp_path / "store"), settings(backbone="resnet34")))
    assert str(Store.foresee(tmp_path / "store").root) == str(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []
