"""The network of a configuration, with its weights."""

from __future__ import annotations

from pathlib import Path

from tasks.core.config import Configuration
from tasks.core.networks.backbone import Backbone
from tasks.weights import read_state_dict


def network_of(settings: Configuration, weights: Path, device: str = "cpu") -> Backbone:
    """The network, for the inputs and with the layers of a configuration, on a device.

    Raises:
        ConfigurationError: the weights do not fit it, or the file holds none.
    """
    return Backbone(
        settings.backbone,
        read_state_dict(weights),
        device,
        settings.precision,
        settings.network_input,
        settings.layers,
    )
