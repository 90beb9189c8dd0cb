"""The networks of torchvision and timm by name, and their levels, found by stride or by a layer's name.

Both libraries are imported where a network is made or looked up: they take as long as torch.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from tasks.core.errors import ConfigurationError
from tasks.core.networks.geometry import Size
from tasks.core.networks.known import EFFICIENTNET_LITES, RESNETS
from tasks.core.networks.traits import INPUT_SIZE, NORMED, Grid, Level, Traits
from tasks.core.settings import listed, suggestion

_PROBED: Size = (INPUT_SIZE, INPUT_SIZE)
_FINAL_NORMS = ("norm", "encoder.ln")  # of transformers, timm's and torchvision's
_FINEST, _COARSEST = 4, 16  # strides of the levels that are kept
_SHOWN_LAYERS = 16  # of a network, where a name is wrong
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
    if name in RESNETS or (name not in EFFICIENTNET_LITES and name in torchvision_names()):
        return "torchvision"
    if name in EFFICIENTNET_LITES or name in timm_names():
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


def make_network(name: str, size: Size | None = _PROBED) -> nn.Module:
    """A network with its classifier, as its weights are published, in eval mode, with random values.

    It is for images of `size`, height and width in pixels; without one, for those of any.

    Raises:
        ConfigurationError: there is none of this name, or it does not take such images.
    """
    if library_of(name) == "torchvision":
        import torchvision

        network: nn.Module = torchvision.models.get_model(name)
        return network.eval()
    import timm

    published = timm_settings(name)
    native = tuple(published.input_size[1:])
    if not published.fixed_input_size or native == size:
        network = timm.create_model(name)
        return network.eval()
    try:
        network = timm.create_model(name, dynamic_img_size=True)
        return network.eval()
    except TypeError:
        found = _of_size(name, size)
    if found is not None:
        return found
    raise _unusable(name, f"it takes images of {_shown(native)} pixels only, not of {_shown(size)}")


def _of_size(name: str, size: Size | None) -> nn.Module | None:
    """A network of timm's whose images are of one size, made for another, if its weights stay as they are."""
    import timm

    def shapes(network: nn.Module) -> dict[str, Any]:
        return {key: values.shape for key, values in network.state_dict().items()}

    try:
        found: nn.Module = timm.create_model(name, img_size=size).eval()
    except (TypeError, AssertionError, ValueError):
        return None
    return found if shapes(found) == shapes(timm.create_model(name)) else None


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


def with_levels(name: str, network: nn.Module, layers: Sequence[Level] = ()) -> nn.Module:
    """The network as a module from images (B, 3, H, W) to embeddings (B, D) and levels (B, C, Hi, Wi).

    The levels are a dict by name: those of `layers`, finest first, where a stride stands for the last map of
    that stride that a stage of the network gives. Without any, each stride from 4 to 16 is taken; if there is
    none of these, the finest of the coarser ones. A transformer whose patches stay on one grid has one such
    level, the patches after its last block and norm. The embedding is what the classifier's last layer takes:
    the averaged last map in most networks, the class token in most transformers.

    Raises:
        ConfigurationError: the network has no such maps, or does not take such images.
    """
    kind = _OfTorchvision if library_of(name) == "torchvision" else _OfTimm
    return kind(network, _stages(name, tuple(layers))).eval()


@cache
def find_traits(name: str, size: Size = _PROBED, layers: tuple[Level, ...] = ()) -> Traits:
    """What a configuration needs to know of a network, found without its weights: shapes are passed on.

    Raises:
        ConfigurationError: there is none of this name, or it cannot be used.
    """
    stages = _stages(name, layers)
    try:
        with torch.device("meta"):
            embeddings, levels = with_levels(name, _without_values(name, size), layers)(_images(size))
    except ConfigurationError:
        raise
    except Exception as error:  # a network raises what it likes about what it is not made for
        raise _unusable(name, repr(error)) from error
    if embeddings.ndim != 2:
        raise _unusable(name, f"its embedding has the shape {tuple(embeddings.shape[1:])}")
    grids = tuple(
        (level, Grid(levels[level].shape[2], levels[level].shape[3], stage.stride))
        for level, stage in stages.items()
    )
    if library_of(name) == "torchvision":
        scale = torchvision_weights(name).transforms()
        return Traits("torchvision", grids, tuple(scale.mean), tuple(scale.std))
    published = timm_settings(name)
    return Traits("timm", grids, published.mean, published.std)


class _Stage(NamedTuple):
    """A part of a network that gives maps: its name, its place among these, pixels from cell to cell.

    `normed` says whether the network's final norm is applied to its maps.
    """

    layer: str
    place: int
    stride: int
    normed: bool = False


@cache
def _stages(name: str, layers: tuple[Level, ...] = ()) -> Mapping[Level, _Stage]:
    """The stages of a network whose maps are these levels, finest first, by the levels' names."""
    if not layers:
        return _default_stages(name)
    network = _without_values(name)
    by_layer = {stage.layer: stage for stage in _maps(name, network, every=True)}
    found = {level: _named_stage(name, network, level, by_layer) for level in layers}
    return dict(sorted(found.items(), key=lambda pair: (pair[1].stride, pair[1].place, pair[1].normed)))


@cache
def _by_stride(name: str) -> Mapping[Level, _Stage]:
    """The last stage of each stride from 4 on."""
    found = {stage.stride: stage for stage in _maps(name, _without_values(name), every=False)}
    coarse = sorted(stride for stride in found if stride >= _FINEST)
    if not coarse:
        raise _unusable(name, "its stages give no maps")
    return {stride: found[stride] for stride in coarse}


def _default_stages(name: str) -> Mapping[Level, _Stage]:
    """Those of the strides to 16, or of the finest coarser one."""
    stages = _by_stride(name)
    kept = [level for level, stage in stages.items() if stage.stride <= _COARSEST] or list(stages)[:1]
    return {level: stages[level]._replace(normed=len(kept) == 1) for level in kept}


def _named_stage(name: str, network: nn.Module, level: Level, by_layer: Mapping[str, _Stage]) -> _Stage:
    """The stage that is meant by a layer's name, or by a stride."""
    if isinstance(level, int):
        stages = {**_by_stride(name), **_default_stages(name)}
        if level not in stages:
            raise ConfigurationError(
                f"layer is {level}: the strides of {name} are {listed(list(stages))}; name one of its "
                f"layers, as {next(iter(by_layer), '')}"
            )
        chosen = stages[level]
        return by_layer.get(chosen.layer, chosen)._replace(normed=chosen.normed)
    layer, normed = level.removesuffix(NORMED), level.endswith(NORMED)
    if layer not in by_layer:
        known = sorted(by_layer, key=lambda name: name.count("."))
        shown = listed(known[:_SHOWN_LAYERS]) + (", …" if len(known) > _SHOWN_LAYERS else "")
        near = suggestion(layer, known)
        raise ConfigurationError(f"layer is {level!r}: {near}the layers of {name} that give maps are {shown}")
    if normed and _final_norm(network) is None:
        raise ConfigurationError(f"layer is {level!r}: {name} has no final norm: name it as {layer}")
    return by_layer[layer]._replace(normed=normed)


def _final_norm(network: nn.Module) -> nn.Module | None:
    """The norm after the last block of a transformer, if it has one that is not averaged first."""
    modules = dict(network.named_modules())
    found = next((modules[name] for name in _FINAL_NORMS if name in modules), None)
    return None if isinstance(found, nn.Identity) else found


def _without_values(name: str, size: Size = _PROBED) -> nn.Module:
    """A network on the meta device, which passes on shapes."""
    try:
        with torch.device("meta"):
            return make_network(name, size)
    except RuntimeError:  # of one whose shapes are computed with tensors
        with torch.device("cpu"):
            return make_network(name, size).to("meta")


def _images(size: Size = _PROBED) -> Tensor:
    return torch.zeros(2, 3, *size)


def _stride(rows: int) -> int:
    """Pixels from cell to cell; a grid that lost its border (55 of 56 cells) has the stride of the whole."""
    return INPUT_SIZE // rows if INPUT_SIZE % rows == 0 else 2 ** round(math.log2(INPUT_SIZE / rows))


def _shown(size: Size | None) -> str:
    if size is None:
        return "any size"
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def _unusable(name: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"backbone is {name!r}, which cannot be used here: {reason}: name another")


class _OfTorchvision(nn.Module):
    def __init__(self, network: nn.Module, stages: Mapping[Level, _Stage]) -> None:
        from torchvision.models.feature_extraction import create_feature_extractor

        super().__init__()
        last, self._norm = _last_layer(network), _final_norm(network)
        network.set_submodule(last, nn.Identity())
        nodes = {stage.layer: stage.layer for stage in stages.values()} | {last: "embedding"}
        self._network = create_feature_extractor(network, nodes, suppress_diff_warning=True)
        self._stages = stages

    def forward(self, images: Tensor) -> tuple[Tensor, dict[Level, Tensor]]:
        found = self._network(images)
        levels = {level: _map(found[stage.layer], images.shape) for level, stage in self._stages.items()}
        normed = [level for level, stage in self._stages.items() if isinstance(level, str) and stage.normed]
        return _vector(found["embedding"]), levels | {
            level: _normed(levels[level], self._norm) for level in normed
        }


class _OfTimm(nn.Module):
    def __init__(self, network: Any, stages: Mapping[Level, _Stage]) -> None:
        super().__init__()
        self._network = network
        self._stages = stages
        self._places = sorted({stage.place for stage in stages.values()})

    def forward(self, images: Tensor) -> tuple[Tensor, dict[Level, Tensor]]:
        all_normed = all(stage.normed for stage in self._stages.values())
        last, maps = self._network.forward_intermediates(images, indices=self._places, norm=all_normed)
        found = dict(zip(self._places, maps, strict=True))
        levels = {level: found[stage.place] for level, stage in self._stages.items()}
        if not all_normed:
            norm = _final_norm(self._network)
            normed = [level for level, stage in self._stages.items() if stage.normed]
            levels |= {level: _normed(levels[level], norm) for level in normed}
        return _vector(self._network.forward_head(last, pre_logits=True)), levels


def _normed(level: Tensor, norm: Any) -> Tensor:
    """A level (B, C, H, W) with each of its vectors normed."""
    values: Tensor = norm(level.permute(0, 2, 3, 1))
    return values.permute(0, 3, 1, 2)


def _maps(name: str, network: nn.Module, *, every: bool) -> list[_Stage]:
    """What gives maps, in the order in which it is passed: all modules, or the stages alone."""
    with torch.device("meta"):
        return _torchvision_maps(network, every) if library_of(name) == "torchvision" else _timm_maps(network)


def _torchvision_maps(network: nn.Module, every: bool) -> list[_Stage]:
    maps: dict[str, int] = {}

    def note(layer: str, output: Any) -> None:
        if layer and isinstance(output, Tensor) and output.ndim in (3, 4):
            maps[layer] = _map(output, _images().shape).shape[2]

    last = _last_layer(network)
    modules = network.named_modules() if every else _parts(network)
    for layer, module in takewhile(lambda part: part[0] != last, modules):
        module.register_forward_hook(lambda _module, _input, output, layer=layer: note(layer, output))
    network(_images())
    return [
        _Stage(layer, place, _stride(rows)) for place, (layer, rows) in enumerate(maps.items()) if rows > 1
    ]


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


def _timm_maps(network: Any) -> list[_Stage]:
    """The intermediate features, called as timm calls their modules."""
    _, maps = network.forward_intermediates(_images())
    layers = [str(each["module"]) for each in network.feature_info]
    return [
        _Stage(layer, place, _stride(found.shape[2]))
        for place, (layer, found) in enumerate(zip(layers, maps, strict=True))
        if found.shape[2] > 1
    ]


def _map(values: Tensor, images: Sequence[int]) -> Tensor:
    """A map (B, C, H, W) of one, of one with its channels last, or of tokens, first those of no patch.

    `images` is the shape (B, 3, H, W) of what it is of.
    """
    height, width = images[2:]
    if values.ndim == 3:
        count, tokens, channels = values.shape
        stride = math.ceil(math.sqrt(height * width / tokens))
        rows, columns = height // stride, width // stride
        patches = values[:, tokens - rows * columns :]
        return patches.reshape(count, rows, columns, channels).permute(0, 3, 1, 2)
    _, first, second, third = values.shape

    def is_grid(rows: int, columns: int) -> bool:
        return abs(columns * height - rows * width) < max(height, width)

    return values.permute(0, 3, 1, 2) if is_grid(first, second) and not is_grid(second, third) else values


def _vector(values: Tensor) -> Tensor:
    """Vectors (B, D), maps averaged."""
    return values.mean(dim=(2, 3)) if values.ndim == 4 else values
