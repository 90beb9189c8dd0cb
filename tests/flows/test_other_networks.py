from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import spade, write_category

from flows.evaluate import evaluate
from storage.datasets.dataset import Dataset
from storage.results.reader import Results
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.registry import parse_method
from tasks.core.networks.levels import make_network
from tasks.job import Request
from tasks.new_images.scorer import Scorer
from tasks.run.plan import calibrate
from tasks.run.prepare import settle

DINOV2 = "vit_small_patch14_dinov2"
SPADE = spade().label


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "tiny"
    write_category(root, "nut", seed=7)
    return root


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes files of seeded random weights."""

    def make(name: str) -> str:
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("weights") / "model.safetensors"
        save_file(make_network(name).state_dict(), path)
        return str(path)

    return make


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("backbone", "methods", "levels"),
    [
        (DINOV2, (SPADE, "padim(levels=(14,), dimensions=6)", "nearest_neighbor(level=14)"), ["14"]),
        ("mobilenet_v3_small", (SPADE, "padim(dimensions=6)"), ["4", "8", "16"]),
    ],
)
def test_a_dataset_is_evaluated_with_any_network(
    backbone: str,
    methods: tuple[str, ...],
    levels: list[str],
    dataset: Path,
    settings: Callable[..., Configuration],
    weights: Callable[[str], str],
    tmp_path: Path,
) -> None:
    chosen = settings(backbone=backbone, weights=weights(backbone))
    evaluate(str(dataset), str(tmp_path / "store"), chosen, methods=methods)
    results = Results(tmp_path / "store")
    assert results.runs()["levels"].iloc[0].tolist() == levels
    assert results.categories()["method"].tolist() == [*methods]
    assert set(results.categories()["status"]) == {"ok"}
    images = results.images()
    row = images[images["method"] == SPADE].iloc[0]
    (tmp_path / "copy.png").write_bytes((dataset / row["image_id"]).read_bytes() + b"other")
    scored = Scorer(str(tmp_path / "store")).score(tmp_path / "copy.png")
    assert scored.score_map == pytest.approx(row["score_map"], rel=1e-5)
    assert scored.score_embedding == pytest.approx(row["score_embedding"], rel=1e-5)


def test_a_methods_levels_are_checked_before_anything_is_computed(
    dataset: Path, settings: Callable[..., Configuration], weights: Callable[[str], str], tmp_path: Path
) -> None:
    chosen = settings(backbone=DINOV2, weights=weights(DINOV2))
    for method, named in {
        "patchcore(share=0.01)": "patchcore(levels=(14,), share=0.01)",
        "padim": "padim(levels=(14,))",
        "ensemble(methods=('spade', 'padim'))": "padim(levels=(14,))",
        "nearest_neighbor": "nearest_neighbor(level=14)",
    }.items():
        request = Request(Dataset.at(str(dataset)), str(tmp_path / "store"), chosen, (parse_method(method),))
        with pytest.raises(ConfigurationError) as raised:
            settle(request)
        assert f"the network has 14: name it as --method '{named}'" in str(raised.value)
        settle(replace(request, methods=(parse_method(named),)))


def test_a_plan_counts_a_transformers_work(
    dataset: Path, settings: Callable[..., Configuration], weights: Callable[[str], str], tmp_path: Path
) -> None:
    chosen = settings(backbone=DINOV2, weights=weights(DINOV2))
    costs = calibrate(settle(Request(Dataset.at(str(dataset)), str(tmp_path / "store"), chosen)))
    assert costs.feature_bytes == 4 * (384 + 16 * 16 * 384)
    assert costs.match_macs == (16 * 16) ** 2 * 384
    assert costs.forward_macs > 257 * 12 * 12 * 384**2  # the linear layers of 12 blocks
