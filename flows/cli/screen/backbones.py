"""Networks that can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.cli.screen.tables import print_table, rendered

if TYPE_CHECKING:
    from tasks.backbones import Installed

_NAMES = 20  # of networks without weights


def print_backbones(here: Sequence[Installed], others: Sequence[str]) -> None:
    """The networks whose weights are here, the names of the others if they are few, how to use these."""
    rows = [
        {
            "name": each.name,
            "library": each.traits.library,
            "levels": ",".join(str(stride) for stride, _ in each.traits.grids),
            "weights": str(each.weights),
        }
        for each in here
    ]
    print_table(rendered(rows, "backbones"))
    names = ", ".join(others) if len(others) <= _NAMES else "--filter TEXT names those that contain it"
    print(f"without weights here: {len(others)}" + (f": {names}" if others else ""))
    print("--backbone NAME --weights FILE uses one with the state dict in a file (.pth or .safetensors);")
    print("--backbone NAME alone downloads its published weights once, and works without a network then.")
