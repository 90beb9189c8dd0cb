from __future__ import annotations

import pytest

from flows.registered import evaluation
from tasks.core.errors import ConfigurationError


@pytest.mark.parametrize(("address", "share"), [(None, 0.5), ("tcp://scheduler:8786", 2.0)])
def test_categories_side_by_side_on_one_machine_share_its_memory(address: str | None, share: float) -> None:
    evaluate = evaluation("dask" if address else "threads", address, 4, 2.0, device="cpu")
    assert evaluate.keywords == {"memory_gib": share, "device": "cpu"}  # type: ignore[attr-defined]


def test_no_categories_at_a_time_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="parallel is 0: it is a number of categories, 1 or more"):
        evaluation("threads", None, 0, 2.0)
