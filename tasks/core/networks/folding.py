"""Batch norms folded into the convolutions before them: the same network in fewer passes over memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tasks.core.networks.geometry import Size


def fold_norms(network: nn.Module, size: Size) -> None:
    """Fold each norm into the convolution whose output nothing else takes, in place.

    `network` is in eval mode and takes images (B, 3, H, W) of `size`. Its outputs are the same but for
    rounding: the relative deviation in float32 is some 1e-6. What follows a norm in its own module stays.
    """
    names = {module: name for name, module in network.named_modules()}
    for conv, norm in _pairs(network, size):
        network.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        network.set_submodule(names[norm], nn.Sequential(*norm.children()))  # timm's drop and activate


def _pairs(network: nn.Module, size: Size) -> list[tuple[_ConvNd, _BatchNorm]]:
    """Convolutions with the norm that alone takes their output, each called once in a pass of shapes.

    There are none in a network whose shapes depend on values.
    """
    given: dict[_ConvNd, list[Tensor]] = {}
    taken: dict[_BatchNorm, list[Tensor]] = {}

    def note_output(conv: _ConvNd, _: Any, output: Tensor) -> None:
        given.setdefault(conv, []).append(output)

    def note_input(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        taken.setdefault(norm, []).append(inputs[0])

    modules = list(network.modules())
    norms = [each for each in modules if isinstance(each, _BatchNorm) and each.track_running_stats]
    if not norms:
        return []
    hooks = [norm.register_forward_pre_hook(note_input) for norm in norms]
    hooks += [each.register_forward_hook(note_output) for each in modules if isinstance(each, _ConvNd)]
    values = dict(network.named_parameters()) | dict(network.named_buffers())
    shapes = {name: value.to("meta") for name, value in values.items()}
    images = torch.zeros(2, 3, *size, device="meta")
    try:
        with torch.inference_mode(), _Uses() as uses:
            uses.count(torch.func.functional_call(network, shapes, (images,)))
    except (RuntimeError, NotImplementedError):
        return []
    finally:
        for hook in hooks:
            hook.remove()
    by_output = {id(outputs[0]): conv for conv, outputs in given.items() if len(outputs) == 1}
    return [
        (by_output[id(inputs[0])], norm)
        for norm, inputs in taken.items()
        if len(inputs) == 1 and uses.of[id(inputs[0])] == 1 and id(inputs[0]) in by_output
    ]


class _Uses(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """How often each tensor is taken by an operation, by its identity."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of = Counter[int]()
        self._kept: list[Tensor] = []  # an identity is another's once its tensor is gone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count((args, kwargs))
        return func(*args, **kwargs or {})

    def count(self, values: Any) -> None:
        """Count the tensors among these as taken once more."""
        tensors = [value for value in tree_leaves(values) if isinstance(value, Tensor)]
        self.of.update(map(id, tensors))
        self._kept += tensors
