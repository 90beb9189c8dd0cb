from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flows.registered import evaluate_registered, evaluation
from storage.datasets.registry import read_registry
from tasks.core.errors import ConfigurationError


@pytest.mark.parametrize(("address", "share"), [(None, 0.5), ("tcp://scheduler:8786", 2.0)])
def test_categories_side_by_side_on_one_machine_share_its_memory(address: str | None, share: float) -> None:
    evaluate = evaluation("dask" if address else "threads", address, 4, 2.0, device="cpu")
    assert evaluate.keywords == {"memory_gib": share, "device": "cpu"}  # type: ignore[attr-defined]


def test_no_categories_at_a_time_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="parallel is 0: it is a number of categories, 1 or more"):
        evaluation("threads", None, 0, 2.0)


def test_the_gate_of_the_registry_reaches_every_run(tmp_path: Path) -> None:
    (tmp_path / "datasets.toml").write_text(
        '[gate]\naupimo = 0.02\n[configurations.one]\n[datasets.data]\nroot = "."\nconfigurations = ["one"]\n'
    )
    gates = []

    def evaluate(*_: Any, gate: Any, **__: Any) -> str:
        gates.append(gate)
        raise RuntimeError("stopped here")

    registry = read_registry(tmp_path / "datasets.toml")
    (run,) = evaluate_registered(evaluate, registry, [], str(tmp_path / "store"), "night")
    assert (run.status, run.reason) == ("failed", "stopped here")
    assert gates == [{"aupimo": 0.02}]
