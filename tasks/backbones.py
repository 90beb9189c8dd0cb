"""The networks whose published weights are on this machine, and the names of the others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tasks.core.errors import ConfigurationError
from tasks.core.networks.known import traits
from tasks.core.networks.levels import timm_names, torchvision_names
from tasks.core.networks.traits import Traits
from tasks.weights import installed_weights


@dataclass(frozen=True)
class Installed:
    """A network that can be used with no network connection: what it brings, and its file of weights."""

    name: str
    traits: Traits
    weights: Path


def find_backbones(text: str = "") -> tuple[list[Installed], list[str]]:
    """Of the networks with `text` in their names: those whose weights are here, and the names of the others.

    Only those are built whose weights are here. A network that cannot be used is in neither list.
    """
    here, others = [], []
    for name in sorted(name for name in torchvision_names() | timm_names() if text in name):
        weights = installed_weights(name)
        if weights is None:
            others.append(name)
            continue
        try:
            here.append(Installed(name, traits(name), weights))
        except ConfigurationError:
            continue
    return here, others
