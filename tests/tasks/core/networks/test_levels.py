from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from tasks.core.errors import ConfigurationError
from tasks.core.networks.backbone import Backbone
from tasks.core.networks.levels import find_traits, library_of, make_network
from tasks.core.networks.traits import Grid, Grids, Level, find_level

DINOV2 = "vit_small_patch14_dinov2"


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def seeded(name: str) -> tuple[Any, Backbone]:
    """A network with random weights, and the backbone that has them."""
    torch.manual_seed(0)
    network = make_network(name)
    return network, Backbone(name, network.state_dict())


@pytest.fixture(scope="module")
def dinov2() -> tuple[Any, Backbone]:
    """As `seeded`, made once: a transformer's values take seconds to draw."""
    return seeded(DINOV2)


@pytest.mark.parametrize(
    ("name", "library", "levels", "dimensions"),
    [
        ("resnet18", "torchvision", {4: (56, 64), 8: (28, 128), 16: (14, 256)}, 512),
        ("mobilenet_v3_small", "torchvision", {4: (56, 16), 8: (28, 24), 16: (14, 48)}, 1024),
        ("regnet_y_400mf", "torchvision", {4: (56, 48), 8: (28, 104), 16: (14, 208)}, 440),
        ("squeezenet1_1", "torchvision", {4: (55, 128), 8: (27, 256), 16: (13, 512)}, 512),
        ("swin_t", "torchvision", {4: (56, 96), 8: (28, 192), 16: (14, 384)}, 768),
        ("vit_b_32", "torchvision", {32: (7, 768)}, 768),
        ("convnext_atto", "timm", {4: (56, 40), 8: (28, 80), 16: (14, 160)}, 320),
        ("resnet10t.c3_in1k", "timm", {4: (56, 64), 8: (28, 128), 16: (14, 256)}, 512),
        ("vit_tiny_patch16_224", "timm", {16: (14, 192)}, 192),
        (DINOV2, "timm", {14: (16, 384)}, 384),
    ],
)
def test_the_levels_of_each_family_are_its_maps_by_stride(
    name: str, library: str, levels: dict[int, tuple[int, int]], dimensions: int, images: torch.Tensor
) -> None:
    _, backbone = seeded(name)
    embeddings, found = backbone(images)
    assert library_of(name) == library
    assert embeddings.shape == (2, dimensions)
    assert {stride: tuple(level.shape) for stride, level in found.items()} == {
        stride: (2, side, side, channels) for stride, (side, channels) in levels.items()
    }
    assert find_traits(name).grids == {stride: (side, side, stride) for stride, (side, _) in levels.items()}
    _, alone = backbone(images[:1])
    assert all(torch.equal(alone[stride][0], level[0]) for stride, level in found.items())


def test_the_levels_of_a_torchvision_network_are_what_its_stages_give(images: torch.Tensor) -> None:
    network, backbone = seeded("mobilenet_v3_small")
    embeddings, levels = backbone(images)
    expected = {}
    with torch.inference_mode():
        x = images
        for layer in network.features:
            x = layer(x)
            expected[224 // x.shape[2]] = x.permute(0, 2, 3, 1)
        hidden = network.classifier[:-1](adaptive_avg_pool2d(x, 1).flatten(1))
    for stride, level in levels.items():
        torch.testing.assert_close(level, expected[stride], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embeddings, hidden, rtol=1e-4, atol=1e-5)


def test_dinov2_gives_its_normed_patches_in_their_grid_and_its_class_token(
    images: torch.Tensor, dinov2: tuple[Any, Backbone]
) -> None:
    network, backbone = dinov2
    embeddings, levels = backbone(images)
    with torch.inference_mode():
        tokens = network.forward_features(images)
    torch.testing.assert_close(embeddings, tokens[:, 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(levels[14].flatten(1, 2), tokens[:, 1:], rtol=1e-4, atol=1e-5)


def test_a_patch_lies_where_it_lies_in_the_image(images: torch.Tensor, dinov2: tuple[Any, Backbone]) -> None:
    _, backbone = dinov2
    changed = images.clone()
    changed[:, :, 2 * 14 : 3 * 14, 9 * 14 : 10 * 14] += 5
    difference = (backbone(changed)[1][14] - backbone(images)[1][14]).norm(dim=3)
    assert (difference.flatten(1).argmax(dim=1) == 2 * 16 + 9).all()


def test_a_network_without_what_is_needed_says_why() -> None:
    with pytest.raises(ConfigurationError, match="backbone is 'hieradet_small', which cannot be used here"):
        find_traits("hieradet_small")


def test_weights_of_another_network_are_refused() -> None:
    other = make_network("vit_tiny_patch16_224").state_dict()
    with pytest.raises(ConfigurationError, match=rf"do not fit {DINOV2}: \d+ tensors.*--weights"):
        Backbone(DINOV2, other)


def test_weights_are_taken_with_the_names_of_their_authors(
    images: torch.Tensor, dinov2: tuple[Any, Backbone]
) -> None:
    network, backbone = dinov2
    published = network.state_dict() | {"mask_token": torch.zeros(1, 384)}
    _, levels = Backbone(DINOV2, published)(images)
    assert torch.equal(levels[14], backbone(images)[1][14])
    assert "mask_token" in published


def test_weights_for_other_patches_are_not_made_to_fit(dinov2: tuple[Any, Backbone]) -> None:
    resized = dinov2[0].state_dict() | {"patch_embed.proj.weight": torch.zeros(384, 3, 16, 16)}
    with pytest.raises(ConfigurationError, match=r"1 tensors .* 'patch_embed\.proj\.weight'"):
        Backbone(DINOV2, resized)


def test_the_grid_is_that_of_the_images_side_where_a_network_takes_others() -> None:
    assert find_traits("mobilenet_v3_small", (256, 320)).grids == {
        4: (64, 80, 4),
        8: (32, 40, 8),
        16: (16, 20, 16),
    }
    with pytest.raises(ConfigurationError, match=f"{DINOV2}', which cannot be used here"):
        find_traits(DINOV2, (256, 256))


@pytest.mark.parametrize("size", [(224, 224), (224, 112)])
def test_named_layers_of_a_transformer_are_timms_intermediates(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network: Any = make_network("test_vit", size)
    layers = ("blocks.4+norm", "blocks.1", "blocks.1+norm", "blocks.3", 16)
    backbone = Backbone("test_vit", network.state_dict(), size=size, layers=layers)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    embeddings, levels = backbone(images)
    assert tuple(levels) == ("blocks.1", "blocks.1+norm", "blocks.3", "blocks.4+norm", 16)
    grid = Grid(size[0] // 16, size[1] // 16, 16)
    assert find_traits("test_vit", size, layers).grids == dict.fromkeys(levels, grid)
    with torch.inference_mode():
        for place, norm in ((1, False), (1, True), (3, False), (4, True), (5, True)):
            (expected,) = network.forward_intermediates(
                images, indices=[place], norm=norm, intermediates_only=True
            )
            found = levels[16 if place == 5 else f"blocks.{place}" + "+norm" * norm]
            torch.testing.assert_close(found.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(embeddings, network.forward_features(images)[:, 0], rtol=0, atol=1e-5)


def test_named_layers_of_torchvisions_networks_are_found_within_stages(images: torch.Tensor) -> None:
    network, _ = seeded("resnet18")
    backbone = Backbone("resnet18", network.state_dict(), layers=("layer2.0", "layer1", 16))
    _, levels = backbone(images)
    assert tuple(levels) == ("layer1", "layer2.0", 16)
    with torch.inference_mode():
        x = network.layer1(network.maxpool(network.relu(network.bn1(network.conv1(images)))))
        for level, expected in (("layer1", x), ("layer2.0", network.layer2[0](x))):
            torch.testing.assert_close(levels[level].permute(0, 3, 1, 2), expected, rtol=1e-4, atol=1e-4)
    transformer = find_traits("vit_b_32", (224, 224), ("encoder.layers.encoder_layer_5+norm",))
    assert [grid for _, grid in transformer.levels] == [(7, 7, 32)]


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("test_vit", "block.3", r"layer is 'block\.3': did you mean blocks\.3, .*give maps are blocks\.0"),
        ("test_vit", 8, r"layer is 8: the strides of test_vit are 16; name one of its layers, as blocks\.0"),
        ("resnet18", "layer1+norm", "resnet18 has no final norm: name it as layer1"),
    ],
)
def test_a_layer_that_is_not_there_is_named(name: str, layer: Level, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        find_traits(name, (224, 224), (layer,))


def test_a_stride_stands_for_a_layer_where_only_one_has_it() -> None:
    grids: Grids = {"layer1": Grid(8, 12, 4), "layer2.0": Grid(4, 6, 8), "layer2.1": Grid(4, 6, 8)}
    assert [find_level(level, grids) for level in (4, "layer2.0")] == ["layer1", "layer2.0"]
    with pytest.raises(ConfigurationError, match=r"level is 8, the stride of layer2\.0, layer2\.1: name one"):
        find_level(8, grids)
    with pytest.raises(ConfigurationError, match=r"level is 'layer3': the network has layer1, .*--layer"):
        find_level("layer3", grids)
