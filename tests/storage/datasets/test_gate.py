from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.datasets.gate import parse_gate
from storage.datasets.registry import read_registry
from storage.errors import DatasetError


def test_a_gate_names_metrics_with_their_tolerance(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text("[gate]\naupimo = 0.02\npro = 0\n")
    assert read_registry(path).gate == {"aupimo": 0.02, "pro": 0.0}
    path.write_text("[gate]\n")
    assert read_registry(path).gate == {}
    path.write_text("")
    assert read_registry(path).gate is None


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (0.005, "write a table"),
        ({"aupim": 0.1}, "aupim is no metric that is compared: did you mean aupimo"),
        ({"pixel_f1_max": 0.1}, "no metric that is compared"),
        ({"pro": "small"}, "gate.pro is 'small': it is a number from 0 to 1"),
        ({"pro": True}, "gate.pro is True"),
        ({"pro": 5}, "gate.pro is 5"),
        ({"pro": float("nan")}, "gate.pro is nan"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(gate: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_gate(gate)


def test_a_registry_with_a_wrong_gate_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "datasets.toml"
    path.write_text("[gate]\nprow = 0.1\n")
    with pytest.raises(DatasetError, match=r"datasets\.toml cannot be read \(gate: prow is no metric"):
        read_registry(path)
