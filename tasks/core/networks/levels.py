"""The networks of torchvision and timm by name, and their levels, found by stride.

Both libraries are imported where a network is made or looked up: they take as long as torch.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor, nn

from tasks.core.errors import ConfigurationError
from tasks.core.networks.known import EFFICIENTNET_LITE0, RESNETS
from tasks.core.networks.traits import INPUT_SIZE, Traits

_FINEST, _COARSEST = 4, 16  # strides of the levels that are kept
_REBUILT = {"googlenet", "inception_v3"}  # torchvision makes them another network for published weights


@cache
def torchvision_names() -> frozenset[str]:
    """Torchvision's networks for classification."""
    import torchvision

    return frozenset(torchvision.models.list_models(module=torchvision.models)) - _REBUILT


@cache
def timm_names() -> frozenset[str]:
    """Timm's networks, by their plain names and with the tags of their published weights."""
    import timm

    return frozenset(timm.list_models()) | frozenset(timm.list_models(pretrained=True))


def library_of(name: str) -> Literal["torchvision", "timm"]:
    """Where a network is from; what both have is torchvision's.

    Raises:
        ConfigurationError: neither has a network of this name; those that are named alike are told.
    """
    if name in RESNETS or (name != EFFICIENTNET_LITE0 and name in torchvision_names()):
        return "torchvision"
    if name == EFFICIENTNET_LITE0 or name in timm_names():
        return "timm"
    known = sorted(torchvision_names() | timm_names())
    near = get_close_matches(name, known, cutoff=0.75) or [each for each in known if name in each][:3]
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise ConfigurationError(
        f"backbone is {name!r}: {hint}it is the name of a network of torchvision or timm; `spade backbones` "
        "lists those whose weights are here"
    )


def torchvision_weights(name: str) -> Any:
    """The published weights of a torchvision network: the first for images of 224 pixels, if any is."""
    import torchvision

    members = list(torchvision.models.get_model_weights(name))
    return next((each for each in members if each.transforms().crop_size == [INPUT_SIZE]), members[0])


def timm_settings(name: str) -> Any:
    """What timm knows of a network's published weights: where they are, and what images they are for."""
    from timm.models import get_pretrained_cfg

    return get_pretrained_cfg(name)


def make_network(name: str) -> nn.Module:
    """A network with its classifier, as its weights are published, in eval mode, with random values.

    Raises:
        ConfigurationError: there is none of this name, or it does not take images of 224 pixels.
    """
    if library_of(name) == "torchvision":
        import torchvision

        network: nn.Module = torchvision.models.get_model(name)
        return network.eval()
    import timm

    published = timm_settings(name)
    side = published.input_size[-1]
    options = {"dynamic_img_size": True} if published.fixed_input_size and side != INPUT_SIZE else {}
    try:
        network = timm.create_model(name, **options)
    except TypeError as error:
        raise _unusable(name, f"it takes images of {side} pixels only, not of {INPUT_SIZE}") from error
    return network.eval()


def from_other_names(network: nn.Module, state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """Weights as their authors published them, with the names that timm gives them in its network.

    Those that timm cannot convert, and those of torchvision, are returned as they are.
    """
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state_dict
    try:
        converted: Mapping[str, Any] = convert(dict(state_dict), network)
    except Exception:  # it raises what it likes about weights of another network
        return state_dict
    return converted


def with_levels(name: str, network: nn.Module) -> nn.Module:
    """The network as a module from images (B, 3, S, S) to embeddings (B, D) and levels (B, C, H, W).

    The levels are a dict by stride: for each stride from 4 to 16, the last map of that stride that a stage
    of the network gives; if there is none, the finest of the coarser ones. A transformer whose patches stay
    on one grid has one level, the patches after its last block and norm. The embedding is what the
    classifier's last layer takes: the averaged last map in most networks, the class token in most
    transformers.

    Raises:
        ConfigurationError: the network has no such maps, or does not take such images.
    """
    kind = _OfTorchvision if library_of(name) == "torchvision" else _OfTimm
    return kind(network, _stages(name)).eval()


@cache
def find_traits(name: str, side: int = INPUT_SIZE) -> Traits:
    """What a configuration needs to know of a network, found without its weights: shapes are passed on.

    Raises:
        ConfigurationError: there is none of this name, or it cannot be used.
    """
    try:
        with torch.device("meta"):
            embeddings, levels = with_levels(name, _without_values(name))(_images(side))
    except ConfigurationError:
        raise
    except Exception as error:  # a network raises what it likes about what it is not made for
        raise _unusable(name, repr(error)) from error
    if embeddings.ndim != 2:
        raise _unusable(name, f"its embedding has the shape {tuple(embeddings.shape[1:])}")
    grids = tuple((stride, level.shape[2]) for stride, level in levels.items())
    if library_of(name) == "torchvision":
        scale = torchvision_weights(name).transforms()
        return Traits("torchvision", grids, tuple(scale.mean), tuple(scale.std))
    published = timm_settings(name)
    return Traits("timm", grids, published.mean, published.std)


@cache
def _stages(name: str) -> Mapping[int, Any]:
    """The stages of a network whose maps are its levels, by stride, finest first."""
    maps = _torchvision_maps if library_of(name) == "torchvision" else _timm_maps
    network = _without_values(name)
    with torch.device("meta"):
        found = {_stride(side): stage for stage, side in maps(network) if side > 1}
    coarse = sorted(stride for stride in found if stride >= _FINEST)
    if not coarse:
        raise _unusable(name, "its stages give no maps")
    kept = [stride for stride in coarse if stride <= _COARSEST] or coarse[:1]
    return {stride: found[stride] for stride in kept}


def _without_values(name: str) -> nn.Module:
    """A network on the meta device, which passes on shapes."""
    try:
        with torch.device("meta"):
            return make_network(name)
    except RuntimeError:  # of one whose shapes are computed with tensors
        with torch.device("cpu"):
            return make_network(name).to("meta")


def _images(side: int = INPUT_SIZE) -> Tensor:
    return torch.zeros(2, 3, side, side)


def _stride(side: int) -> int:
    """Pixels from cell to cell; a grid that lost its border (55 of 56 cells) has the stride of the whole."""
    return INPUT_SIZE // side if INPUT_SIZE % side == 0 else 2 ** round(math.log2(INPUT_SIZE / side))


def _unusable(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"backbone is {name!r}, which cannot be used here: {reason}: name another")


class _OfTorchvision(nn.Module):
    def __init__(self, network: nn.Module, stages: Mapping[int, str]) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        last = _last_layer(network)
        network.set_submodule(last, nn.Identity())
        nodes = {stage: str(stride) for stride, stage in stages.items()} | {last: "embedding"}
        self._network = create_feature_extractor(network, nodes, suppress_diff_warning=True)
        self._strides = tuple(stages)

    def forward(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        found = self._network(images)
        return _vector(found["embedding"]), {stride: _map(found[str(stride)]) for stride in self._strides}


class _OfTimm(nn.Module):
    def __init__(self, network: Any, stages: Mapping[int, int]) -> None:
        super().__init__()
        self._network = network
        self._stages = stages

    def forward(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        last, found = self._network.forward_intermediates(
            images, indices=list(self._stages.values()), norm=len(self._stages) == 1
        )
        embedding = self._network.forward_head(last, pre_logits=True)
        return _vector(embedding), dict(zip(self._stages, found, strict=True))


def _torchvision_maps(network: nn.Module) -> list[tuple[str, int]]:
    """The stages that give maps, and the side of each, in the order in which they are passed."""
    maps = []

    def note(stage: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim in (3, 4):
            maps.append((stage, _map(output).shape[2]))

    last = _last_layer(network)
    for stage, module in takewhile(lambda part: part[0] != last, _parts(network)):
        module.register_forward_hook(lambda _module, _input, output, stage=stage: note(stage, output))
    network(_images())
    return maps


def _last_layer(network: nn.Module) -> str:
    """The layer that gives the classes."""
    kinds = nn.Linear | nn.Conv2d
    *_, last = (name for name, layer in network.named_modules() if isinstance(layer, kinds))
    return str(last)


def _parts(network: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that a network is put together from; plain sequences are taken apart."""
    for name, module in network.named_children():
        if type(module) in (nn.Sequential, nn.ModuleList):
            yield from _parts(module, f"{prefix}{name}.")
        else:
            yield prefix + name, module


def _timm_maps(network: Any) -> list[tuple[int, int]]:
    """The positions of the intermediate features, and the side of each."""
    _, maps = network.forward_intermediates(_images())
    return [(position, found.shape[2]) for position, found in enumerate(maps)]


def _map(values: Tensor) -> Tensor:
    """A map (B, C, H, W) of one, of one with its channels last, or of tokens, first those of no patch."""
    if values.ndim == 3:
        count, tokens, channels = values.shape
        side = math.isqrt(tokens)
        return values[:, tokens - side**2 :].reshape(count, side, side, channels).permute(0, 3, 1, 2)
    _, first, second, third = values.shape
    return values.permute(0, 3, 1, 2) if first == second != third else values


def _vector(values: Tensor) -> Tensor:
    """Vectors (B, D), maps averaged."""
    return values.mean(dim=(2, 3)) if values.ndim == 4 else values
