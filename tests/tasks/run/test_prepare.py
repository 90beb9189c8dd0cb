from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import write_category

from storage.datasets.dataset import Dataset
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.methods.registry import parse_method
from tasks.job import Request
from tasks.run import prepare
from tasks.run.prepare import settle


def test_bfloat16_is_refused_where_it_would_be_emulated(
    tmp_path: Path, settings: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_category(tmp_path / "tiny", "thing", train=1, normal=1, anomalous=1)
    request = Request(
        Dataset.at(tmp_path / "tiny"), str(tmp_path / "store"), settings(precision="bfloat16"), device="cpu"
    )
    monkeypatch.setattr(prepare, "has_bfloat16", lambda: False)
    with pytest.raises(ConfigurationError, match="use float32, or another device"):
        settle(request)
    monkeypatch.setattr(prepare, "has_bfloat16", lambda: True)
    assert settle(request).configuration.precision == "bfloat16"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("spade(levels=(4, 32))", "level is 32: the network has 4, 8, 16"),
        ("padim(levels=(14,))", "--method 'padim'"),
        ("nearest_neighbor(level=14)", r"--method 'nearest_neighbor\(level=16\)'"),
        ("ensemble(methods=('dn2', 'spade(kappa=5000)'))", "kappa is 5000"),
    ],
)
def test_a_method_that_does_not_fit_the_network_is_named_before_anything_is_read(
    method: str, message: str, tmp_path: Path, settings: Callable[..., Configuration]
) -> None:
    request = Request(Dataset.at(tmp_path), str(tmp_path / "store"), settings(), (parse_method(method),))
    with pytest.raises(ConfigurationError, match=message):
        settle(request)
    assert not (tmp_path / "store").exists()


def test_no_method_is_an_error(tmp_path: Path, settings: Callable[..., Configuration]) -> None:
    with pytest.raises(ConfigurationError, match="methods is empty: name at least one, as spade"):
        settle(Request(Dataset.at(tmp_path), configuration=settings(), methods=()))
