"""Scores of new images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import TYPE_CHECKING, Any

from flows.cli.screen.tables import print_table, rendered

if TYPE_CHECKING:
    pass

_SHOWN_NEIGHBORS = 3


def print_scores(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], *, json: bool) -> None:
    """New images with their scores and verdicts, and what the threshold is; or all of it as one document."""
    if json:
        print(dumps({**about, "images": rows}, indent=1, ensure_ascii=False))
        return
    shown = [
        {
            **row,
            "nearest": ", ".join(
                f"{neighbor['image_id']} ({neighbor['squared_distance']:.4g})"
                for neighbor in row.get("neighbors", ())[:_SHOWN_NEIGHBORS]
            ),
        }
        for row in rows
    ]
    print_table(rendered(shown, "scores"))
    for name in ("threshold", "mask_threshold"):
        if about[name] is not None:
            print(f"{name.replace('_', ' of the ')}: {_threshold_text(about[name])}")
    for row in rows:
        if "heat_map" in row:
            print(f"{row['image']}: {row['heat_map']}{', ' + row['mask'] if 'mask' in row else ''}")


def _threshold_text(threshold: Mapping[str, Any]) -> str:
    if threshold["value"] is None:
        return f"none, because {threshold['reason']}"
    return (
        f"{threshold['value']:.6g} by rule {threshold['rule']}, at a false-positive rate of "
        f"{threshold['rate']:g} on {threshold['images']} held-out normal images"
    )
