"""Folded networks give what the plain ones give, and no norm is folded that something else needs."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.core.networks.folding import fold_norms
from tasks.core.networks.levels import make_network, with_levels

SIZE = (64, 96)


def with_norms(network: nn.Module) -> nn.Module:
    """The network in eval mode, its norms with random values."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, _BatchNorm) for module in network.modules())


@pytest.mark.parametrize(
    ("name", "layers", "left"),
    [
        ("resnet18", (), 0),
        ("resnet18", ("layer1.0.conv1", 8), 1),  # the convolution's own output is a level
        ("tf_efficientnet_lite0", (), 0),
        ("resnetv2_50", (), 17),  # norms before their convolutions
        ("vit_tiny_patch16_224", (), 0),
    ],
)
def test_the_outputs_stay_but_for_rounding(name: str, layers: tuple[str | int, ...], left: int) -> None:
    size = (224, 224) if name.startswith("vit") else SIZE
    plain = with_norms(with_levels(name, make_network(name, size), layers))
    folded = copy.deepcopy(plain).eval()
    fold_norms(folded, size)
    assert norms(folded) == left
    images = torch.rand(2, 3, *size)
    (embeddings, levels), (expected, of_plain) = folded(images), plain(images)
    torch.testing.assert_close(embeddings, expected, rtol=1e-4, atol=1e-5)
    for level in of_plain:
        torch.testing.assert_close(levels[level], of_plain[level], rtol=1e-4, atol=1e-4)


class Twice(nn.Module):
    """A convolution that is called twice, one whose output has a second use, and one that can be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.used, self.alone = (nn.Conv2d(3, 3, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        one = self.norms[0](self.shared(images)) + self.shared(images + 1)
        other = self.used(one)
        found: Tensor = self.norms[2](self.alone(self.norms[1](other) + other))
        return found


def test_what_is_used_twice_is_not_folded() -> None:
    plain = with_norms(Twice())
    folded = copy.deepcopy(plain)
    fold_norms(folded, SIZE)
    assert norms(folded) == 2
    images = torch.rand(2, 3, *SIZE)
    torch.testing.assert_close(folded(images), plain(images))
