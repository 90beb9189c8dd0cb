"""SPRO of a dataset that states its defects' saturation, from its files to what is shown."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spade
from numpy.typing import NDArray
from pages import text
from published import Painter, saturations
from saturated_overlap import spro_oracle

from flows.evaluate import evaluate
from storage.datasets.dataset import Dataset, read_masks
from storage.datasets.layouts.saturation import CONFIG
from storage.datasets.manifest import ImageFile, Manifest
from storage.results import Results
from storage.results.metrics import SATURATED
from storage.store.store import Store
from storage.store.tables import read_table, table_bytes
from tasks.core.config import Configuration
from tasks.core.networks.preprocess import align_mask

METHODS = ("padim(levels=(8,), dimensions=5)", "dn2")
STATED = {255: (6.0, False), 250: (0.5, True), 234: (100.0, False)}
Settings = Callable[..., Configuration]


@pytest.fixture(scope="module")
def evaluated(
    prefect_server: None,  # noqa: ARG001
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run of two methods on two logical and two structural anomalies; one defect lies outside."""
    root = tmp_path_factory.mktemp("saturated")
    paint = Painter(root / "data")
    paint.image(*(f"box/train/good/{n:03}.png" for n in range(4)), "box/validation/good/000.png")
    paint.image(*(f"box/test/good/{n:03}.png" for n in range(3)))
    for kind, values in (("logical", (255, 250)), ("structural", (234, 255))):
        for number in range(2):
            name = f"{kind}_anomalies/{number:03}"
            paint.image(f"box/test/{name}.png")
            for place, value in enumerate(values):
                mask = f"box/ground_truth/{name}/{place:03}.png"
                paint.mask(mask, value=value, top=4 + 9 * place, height=3 + number)
    paint.mask("box/ground_truth/logical_anomalies/000/002.png", value=255, top=0, height=1)
    saturations(root / "data/box", STATED)
    run(root, settings, "first")
    return root


def run(root: Path, settings: Settings, run_id: str) -> None:
    configuration = settings(metric_resolution=40)
    dataset = Dataset.at(root / "data").recognised()
    evaluate(dataset, str(root / "store"), configuration, run_id=run_id, methods=METHODS)


def row(root: Path, run_id: str, method: str = METHODS[0]) -> dict[str, Any]:
    (found,) = Results(root / "store").rows("categories", run_id, method)
    return found


def expected(root: Path, run_id: str, settings: Settings, kinds: tuple[str, ...]) -> float:
    """From the maps and the files of the masks in plain loops, with the areas that the test states."""
    results, dataset = Results(root / "store"), Dataset.at(root / "data").recognised()
    files = Manifest.from_table(
        read_table(Store.open(str(root / "store")).run_table(run_id, "manifest"))
    ).test()
    images = [image for image in files if image.defect in ("good", *kinds)]
    maps = np.stack([results.anomaly_map(run_id, image.image_id) for image in images])
    pairs = [defects_of(dataset, image, settings(metric_resolution=40)) for image in images]
    return spro_oracle(maps, [masks for masks, _ in pairs], [areas for _, areas in pairs], 0.05)


def defects_of(
    dataset: Dataset, image: ImageFile, configuration: Configuration
) -> tuple[list[NDArray[np.bool_]], list[float]]:
    masks, areas = [], []
    for path, mask in zip(image.masks, read_masks(dataset, image) if image.masks else [], strict=True):
        aligned = align_mask(mask, configuration.preprocessing, 40)
        value = {"logical": (255, 250, 255), "structural": (234, 255)}[image.defect.split("_")[0]]
        threshold, relative = STATED[value[int(Path(path).stem)]]
        share = threshold if relative else min(threshold / mask.sum(), 1)
        if aligned.any():
            masks.append(aligned)
            areas.append(share * aligned.sum())
    return masks, areas


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("spro_05", ("logical_anomalies", "structural_anomalies")),
        ("spro_05_logical", ("logical_anomalies",)),
        ("spro_05_structural", ("structural_anomalies",)),
    ],
)
def test_each_is_that_of_plain_loops_over_the_files(
    evaluated: Path, settings: Settings, name: str, kinds: tuple[str, ...]
) -> None:
    found = row(evaluated, "first")
    assert found[name] == pytest.approx(expected(evaluated, "first", settings, kinds), abs=1e-9)
    assert found[f"{name}_reason"] is None
    assert row(evaluated, "first", "dn2")[name] is None


def test_screens_and_pages_show_it(evaluated: Path) -> None:
    at = ("--store", evaluated / "store", "--run", "first")
    code, out, error = spade("results", *at)
    assert (code, error) == (0, "")
    code, summary, _ = spade("results", *at, "--table", "summary")
    assert code == 0
    pages = evaluated / "pages"
    code, _, error = spade("report", "first", "--store", evaluated / "store", "--output", pages)
    assert code == 0, error
    overview = text(pages / "index.html")
    for metric in SATURATED:
        assert metric.title in out
        assert metric.name in summary
        assert f"{row(evaluated, 'first')[metric.name]:.4f}" in out
        assert metric.title in overview
        assert f"{row(evaluated, 'first')[metric.name]:.3f}" in overview


def test_another_statement_is_measured_anew_and_nothing_is_scored(
    evaluated: Path, settings: Settings, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(evaluated, tmp_path / "copy"))
    saturations(root / "data/box", dict.fromkeys(STATED, (1.0, True)))
    run(root, settings, "whole")
    saturations(root / "data/box", {255: (0.2, True), 250: (0.2, True)})
    run(root, settings, "partly")
    (root / "data/box" / CONFIG).write_text("[")
    run(root, settings, "broken")
    first, whole, partly, broken = (row(root, name) for name in ("first", "whole", "partly", "broken"))
    assert len({each["metrics_key"] for each in (first, whole, partly, broken)}) == 4
    assert {each["score_key"] for each in (whole, partly, broken)} == {first["score_key"]}
    assert whole["spro_05"] <= first["spro_05"]
    assert whole["pro_05"] == partly["pro_05"] == broken["pro_05"] == first["pro_05"]
    assert partly["spro_05"] is partly["spro_05_structural"] is None
    assert partly["spro_05_logical"] >= whole["spro_05_logical"]
    assert partly["spro_05_reason"] == (
        f"of 2 of 7 images a mask has a value that {CONFIG} does not list: "
        "null in the manifest's mask_saturations"
    )
    assert broken["set_aside"] == 1
    assert f"in a {CONFIG}" in broken["spro_05_reason"]
    code, out, error = spade("results", "--store", root / "store", "--run", "broken")
    assert (code, error) == (0, "")
    assert "sPRO" not in out


def test_a_run_of_before_is_shown_and_compared(evaluated: Path, settings: Settings, tmp_path: Path) -> None:
    """Its tables lack the columns."""
    root = Path(shutil.copytree(evaluated, tmp_path / "copy"))
    store = Store.open(str(root / "store"))
    names = {name for metric in SATURATED for name in (metric.name, metric.own_reason)}
    for name, gone in (("manifest", {"mask_saturations"}), ("categories", names)):
        path = store.run_table("first", name)
        table = read_table(path).drop_columns(sorted(gone))
        store.write(path, table_bytes(table))
    run(root, settings, "second")
    at = ("--store", root / "store")
    for command in (
        ("results", *at, "--run", "first"),
        ("results", *at, "--run", "first", "--table", "manifest"),
        ("results", *at, "--run", "second"),
        ("compare", "second", *at),
        ("report", "first", *at, "--output", root / "pages"),
        ("report", "second", *at, "--output", root / "pages2"),
    ):
        code, _, error = spade(*command)
        assert code == 0, (command, error)
    assert "spro_05" not in Results(root / "store").categories("first")
    assert row(root, "second")["spro_05"] == row(evaluated, "first")["spro_05"]
