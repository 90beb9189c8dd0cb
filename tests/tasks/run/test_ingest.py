from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny import write_category

from storage.datasets.dataset import Dataset
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.job import Request
from tasks.run import ingest
from tasks.run.ingest import settle


def test_bfloat16_is_refused_where_it_would_be_emulated(
    tmp_path: Path, settings: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_category(tmp_path / "tiny", "thing", train=1, normal=1, anomalous=1)
    request = Request(
        Dataset.at(tmp_path / "tiny"), str(tmp_path / "store"), settings(precision="bfloat16"), device="cpu"
    )
    monkeypatch.setattr(ingest, "has_bfloat16", lambda: False)
    with pytest.raises(ConfigurationError, match="use float32, or another device"):
        settle(request)
    monkeypatch.setattr(ingest, "has_bfloat16", lambda: True)
    assert settle(request).configuration.precision == "bfloat16"
