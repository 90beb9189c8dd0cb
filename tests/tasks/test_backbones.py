from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest
from command import spade

from tasks.backbones import find_backbones
from tasks.core.networks.known import EFFICIENTNET_LITES


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of torch with the weights of two networks, and an empty one of the Hugging Face hub."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("wide_resnet50_2-95faca4d.pth", "mobilenet_v3_small-047dcff4.pth"):
        (folder / name).touch()
    return folder


def test_what_is_here_is_found_with_its_levels(caches: Path) -> None:
    here, others = find_backbones()
    assert [(each.name, each.traits.library) for each in here] == [
        ("mobilenet_v3_small", "torchvision"),
        *((name, "timm") for name in EFFICIENTNET_LITES),
        ("wide_resnet50_2", "torchvision"),
    ]
    assert here[0].weights == caches / "mobilenet_v3_small-047dcff4.pth"
    assert here[0].traits.grids == {4: (56, 56, 4), 8: (28, 28, 8), 16: (14, 14, 16)}
    assert {"resnet18", "vit_small_patch14_dinov2", "vit_small_patch14_dinov2.lvd142m"} <= set(others)


def test_the_command_lists_them_and_says_how_to_use_others() -> None:
    shown = spade("backbones")[1]
    lines = [line.replace("│", " ").split() for line in shown.splitlines()]
    assert ["tf_efficientnet_lite0", "timm", "4,8,16"] in [line[:3] for line in lines]
    assert "--weights FILE" in shown
    assert "resnet18" not in shown
    shown = spade("backbones", "--filter", "small_patch14_dinov2")[1]
    assert "lite0" not in shown
    assert "without weights here: 2: vit_small_patch14_dinov2, vit_small_patch14_dinov2.lvd142m" in shown
