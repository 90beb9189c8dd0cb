from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import torchvision

from tasks.core.errors import ConfigurationError
from tasks.core.networks.backbone import Backbone
from tasks.weights import read_state_dict, weights_file

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def lite0() -> Backbone:
    return Backbone(LITE0, read_state_dict(weights_file(LITE0, None)))


def test_a_resnets_levels_and_embedding_are_those_of_its_plain_forward(
    resnet18_weights: Path, images: torch.Tensor
) -> None:
    state_dict = read_state_dict(resnet18_weights)
    embeddings, levels = Backbone("resnet18", state_dict)(images)
    network = torchvision.models.resnet18()
    network.load_state_dict(state_dict)
    network.eval()
    with torch.inference_mode():
        x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
        expected = {}
        for stride, layer in ((4, network.layer1), (8, network.layer2), (16, network.layer3)):
            x = layer(x)
            expected[stride] = x.permute(0, 2, 3, 1)
        pooled = network.layer4(x).mean(dim=(2, 3))
    assert {stride: tuple(level.shape) for stride, level in levels.items()} == {
        4: (3, 56, 56, 64),
        8: (3, 28, 28, 128),
        16: (3, 14, 14, 256),
    }
    for stride, level in levels.items():
        torch.testing.assert_close(level, expected[stride], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(embeddings, pooled)


def test_a_timm_networks_levels_and_embedding_are_those_of_its_plain_forward(
    lite0: Backbone, images: torch.Tensor
) -> None:
    lite = timm.create_model(LITE0).eval()
    lite.load_state_dict(
        dict(zip(lite.state_dict(), read_state_dict(weights_file(LITE0, None)).values(), strict=True))
    )
    with torch.inference_mode():
        last, maps = lite.forward_intermediates(images, indices=(1, 2, 3), norm=False)
        pooled = lite.forward_head(last, pre_logits=True)
    embeddings, levels = lite0(images)
    torch.testing.assert_close(embeddings, pooled, rtol=1e-4, atol=1e-4)
    assert list(levels) == [4, 8, 16]
    for level, expected in zip(levels.values(), maps, strict=True):
        torch.testing.assert_close(level, expected.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def test_wide_resnet50_2_has_the_papers_shapes(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    state_dict = torchvision.models.wide_resnet50_2().state_dict()
    embeddings, levels = Backbone("wide_resnet50_2", state_dict)(images[:1])
    shapes = [tuple(level.shape) for level in levels.values()]
    assert shapes == [(1, 56, 56, 256), (1, 28, 28, 512), (1, 14, 14, 1024)]
    assert embeddings.shape == (1, 2048)


def test_efficientnet_lite0_gives_in_one_pass_what_timm_gives_in_two(
    lite0: Backbone, images: torch.Tensor
) -> None:
    weights = read_state_dict(weights_file(LITE0, None))
    names = timm.create_model(LITE0).state_dict()
    pyramid = timm.create_model(LITE0, features_only=True, out_indices=(1, 2, 3))
    renamed = dict(zip(names, weights.values(), strict=True))
    pyramid.load_state_dict(renamed, strict=False)
    pooled = timm.create_model(LITE0, num_classes=0)
    pooled.load_state_dict({key: value for key, value in renamed.items() if "classifier" not in key})
    embeddings, levels = lite0(images)
    with torch.inference_mode():
        for level, expected in zip(levels.values(), pyramid.eval()(images), strict=True):
            torch.testing.assert_close(level, expected.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(embeddings, pooled.eval()(images))
    assert embeddings.shape == (3, 1280)


def test_a_row_does_not_depend_on_the_rest_of_its_batch(lite0: Backbone, images: torch.Tensor) -> None:
    embeddings, levels = lite0(images)
    for row in range(3):
        embedding, alone = lite0(images[row : row + 1])
        assert torch.equal(embedding[0], embeddings[row])
        assert all(torch.equal(alone[stride][0], levels[stride][row]) for stride in levels)


def test_bfloat16_products_are_close_and_do_not_depend_on_the_batch(
    images: torch.Tensor, lite0: Backbone
) -> None:
    quick = Backbone(LITE0, read_state_dict(weights_file(LITE0, None)), precision="bfloat16")
    embeddings, _ = quick(images)
    alone, _ = quick(images[:1])
    assert embeddings.dtype == torch.float32
    assert torch.equal(alone[0], embeddings[0])
    exact, _ = lite0(images)
    assert not torch.equal(embeddings, exact)
    assert (embeddings - exact).norm() / exact.norm() < 0.05


def test_weights_of_another_network_are_refused(resnet18_weights: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"do not fit resnet50: \d+ tensors.*--weights"):
        Backbone("resnet50", read_state_dict(resnet18_weights))
    with pytest.raises(ConfigurationError, match="do not fit tf_efficientnet_lite0"):
        Backbone(LITE0, read_state_dict(resnet18_weights))
