from __future__ import annotations

import hashlib
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import torch
import torchvision
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RemoteEntryNotFoundError
from safetensors.torch import save_file

import tasks.weights
from tasks.core.errors import ConfigurationError
from tasks.core.networks.backbone import Backbone
from tasks.core.networks.known import EFFICIENTNET_LITES, RESNETS
from tasks.core.networks.levels import torchvision_weights
from tasks.weights import file_sha256, installed_weights, read_state_dict, torchvision_url, weights_file


@pytest.mark.parametrize("name", EFFICIENTNET_LITES)
def test_the_installed_weights_are_the_published_ones(name: str) -> None:
    path = weights_file(name, None)
    Backbone(name, read_state_dict(path))
    assert path.stem.rpartition("-")[2] == file_sha256(path)[:8]


@pytest.mark.parametrize("name", RESNETS)
def test_a_resnets_weights_are_those_that_torchvision_names(name: str) -> None:
    assert torchvision_url(name) == torchvision_weights(name).url


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"weights is 'nowhere\.pth': no such file"):
        weights_file("resnet18", "nowhere.pth")


def test_without_a_network_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        ConfigurationError, match=r"wide_resnet50_2-95faca4d\.pth.*--weights.*tf_efficientnet_lite0"
    ):
        weights_file("wide_resnet50_2", None)


def test_the_papers_weights_are_downloaded_once_and_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []

    def download(url: str, target: str, prefix: str, *, progress: bool) -> None:
        calls.append((url.rpartition("/")[2], prefix, progress))
        Path(target).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    paths = {weights_file("wide_resnet50_2", None) for _ in range(2)}
    assert calls == [("wide_resnet50_2-95faca4d.pth", "95faca4d", False)]
    assert paths.pop().read_bytes() == b"weights"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of the Hugging Face hub."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    return folder


def put(hub: Path, repository: str, name: str) -> Path:
    """A file as the hub's cache has it."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("c0ffee")
    path = folder / "snapshots" / "c0ffee" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return path


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("tag", ["", ".lvd142m"])
def test_timms_weights_are_those_in_the_hubs_cache(hub: Path, name: str, tag: str) -> None:
    assert installed_weights(f"vit_small_patch14_dinov2{tag}") is None
    path = put(hub, "timm/vit_small_patch14_dinov2.lvd142m", name)
    assert weights_file(f"vit_small_patch14_dinov2{tag}", None) == path
    assert installed_weights("vit_base_patch14_dinov2") is None


@pytest.mark.usefixtures("hub")
def test_timms_weights_are_downloaded_from_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if name == "model.safetensors":
            raise RemoteEntryNotFoundError("none", response=Mock(headers={}))
        return str(tmp_path / name)

    monkeypatch.setattr(tasks.weights, "hf_hub_download", download)
    assert weights_file("vit_small_patch14_dinov2", None) == tmp_path / "pytorch_model.bin"
    repository = "timm/vit_small_patch14_dinov2.lvd142m"
    assert asked == [(repository, "model.safetensors"), (repository, "pytorch_model.bin")]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("no network"),
        HfHubHTTPError("not now", response=Mock(headers={})),
    ],
)
def test_without_the_hub_the_message_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(tasks.weights, "hf_hub_download", fail)
    with pytest.raises(
        ConfigurationError, match=r"from https://huggingface\.co/timm/vit_small_patch14_dinov2.*--weights"
    ):
        weights_file("vit_small_patch14_dinov2", None)


@pytest.mark.usefixtures("hub")
def test_a_network_that_nobody_published_needs_a_file() -> None:
    with pytest.raises(ConfigurationError, match=r"'coatnet_0_224': no weights.*--weights"):
        weights_file("coatnet_0_224", None)


def test_the_published_weights_are_for_images_of_this_size() -> None:
    assert torchvision_weights("resnet50").name == "IMAGENET1K_V1"
    assert torchvision_weights("vit_h_14").name == "IMAGENET1K_SWAG_LINEAR_V1"
    for name in RESNETS:
        assert torchvision_weights(name) == torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]


def test_safetensors_are_read(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    save_file(tensors, tmp_path / "weights.safetensors")
    found = read_state_dict(tmp_path / "weights.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    with pytest.raises(ConfigurationError, match=r"broken\.safetensors is not a state dict"):
        read_state_dict(tmp_path / "broken.safetensors")


def test_the_digest_is_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    assert file_sha256(path) == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x02cos\nsystem\n(S'true'\ntR."])
def test_what_is_no_state_dict_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"weights\.pth is not a state dict.*torch\.save"):
        read_state_dict(path)


def test_a_whole_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": {}}, path)
    with pytest.raises(ConfigurationError, match="holds no plain state dict"):
        read_state_dict(path)
