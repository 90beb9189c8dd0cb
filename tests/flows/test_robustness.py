from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import spade, write_category

from flows.evaluate import IncompleteRunError, evaluate
from storage.errors import DatasetError, StoreError
from storage.results.reader import Results
from tasks.core.config import Configuration

pytestmark = pytest.mark.usefixtures("prefect_server")


def test_what_fails_is_told_and_the_same_run_goes_on(
    settings: Callable[..., Configuration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The category keeps its metrics; and a run without corruptions is another one."""
    write_category(tmp_path / "data", "nut", train=5)
    store = str(tmp_path / "store")

    def run(corruptions: tuple[str, ...] = ("noise",)) -> str:
        return str(
            evaluate(
                str(tmp_path / "data"),
                store,
                settings(fpr=0.25),
                run_id="one",
                methods=[spade().label, "dn2"],
                corruptions=corruptions,
                severities=(2,),
            )
        )

    def broken(*_: Any) -> None:
        raise DatasetError("the camera is gone")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.run.robustness.features_of", broken)
        with pytest.raises(IncompleteRunError, match="nut: the camera is gone"):
            run()
    results = Results(store)
    assert results.rows("run")[0]["status"] == "partial"
    assert {row["status"] for row in results.rows("categories")} == {"ok"}
    assert results.rows("robustness") == []
    assert len(results.rows("operating")) == 4
    run()
    results = Results(store)
    assert results.rows("run")[0]["status"] == "complete"
    assert len(results.robustness()) == 8
    assert run() == "one"
    for other in ((), ("blur",), ("blur", "noise")):
        with pytest.raises(StoreError, match="has another configuration or other data"):
            run(other)
