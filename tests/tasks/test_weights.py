from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from tasks.core.config import ConfigurationError
from tasks.weights import file_sha256, read_state_dict, weights_file


def test_the_installed_weights_are_the_published_ones() -> None:
    path = weights_file("tf_efficientnet_lite0", None)
    assert path.stem.rpartition("-")[2] == file_sha256(path)[:8]


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
