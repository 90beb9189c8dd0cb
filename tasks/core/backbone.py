"""Frozen ImageNet networks that give an embedding and a feature pyramid in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from tasks.core.config import EFFICIENTNET_LITE0, STRIDES, ConfigurationError, Precision


class Backbone(nn.Module):
    """A network in eval mode, on one device, that no gradient passes."""

    def __init__(
        self,
        name: str,
        state_dict: Mapping[str, Tensor],
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        """Build network `name` and load its weights; `precision` is that of its products.

        Raises:
            ConfigurationError: the weights do not fit the network.
        """
        super().__init__()
        self._lite = name == EFFICIENTNET_LITE0
        network = timm.create_model(name) if self._lite else torchvision.models.get_model(name)
        _load(network, name, state_dict, by_order=self._lite)
        network.eval().requires_grad_(False)
        if not self._lite:
            nodes = {f"layer{i + 1}": str(stride) for i, stride in enumerate(STRIDES)}
            network = create_feature_extractor(network, nodes | {"flatten": "embedding"})
        self._network = network.to(device, memory_format=torch.channels_last)
        self._device = torch.device(device)
        self._autocast = precision == "bfloat16"

    @torch.inference_mode()
    def forward(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Embeddings (B, D) and, for each stride, patch vectors (B, H, W, C), of images (B, 3, S, S).

        float32, on the CPU. The embedding is the last convolutional layer, averaged over positions.
        """
        count = len(images)
        if count == 1:  # a lone row takes another kernel, whose last bits differ
            images = images.expand(2, -1, -1, -1)
        images = images.to(self._device, memory_format=torch.channels_last)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast):
            if self._lite:
                last, found = self._network.forward_intermediates(images, indices=(1, 2, 3), norm=False)
                embedding = self._network.forward_head(last, pre_logits=True)
                levels = dict(zip(STRIDES, found, strict=True))
            else:
                found = self._network(images)
                embedding = found["embedding"]
                levels = {stride: found[str(stride)] for stride in STRIDES}
        channel_last = {
            stride: level.permute(0, 2, 3, 1)[:count].float().cpu() for stride, level in levels.items()
        }
        return embedding[:count].float().cpu(), channel_last


def _load(network: nn.Module, name: str, state_dict: Mapping[str, Any], *, by_order: bool) -> None:
    """Load strictly; `by_order` lets weights of the same shapes have other names."""
    expected = network.state_dict()
    if by_order and [tuple(v.shape) for v in expected.values()] == [
        tuple(v.shape) for v in state_dict.values()
    ]:
        state_dict = dict(zip(expected, state_dict.values(), strict=True))
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
