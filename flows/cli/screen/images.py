"""Scores of new images, and networks that can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import TYPE_CHECKING, Any

from flows.cli.screen.tables import print_table, rendered

if TYPE_CHECKING:
    from tasks.backbones import Installed

_SHOWN_NEIGHBORS = 3
_NAMES = 20  # of networks without weights


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
        for match in row.get("matches", ()):
            print(f"{row['image']}: {_match_text(match)}")
        files = [row[name] for name in ("heat_map", "mask", "match") if name in row]
        if files:
            print(f"{row['image']}: {', '.join(files)}")


def _match_text(match: Mapping[str, Any]) -> str:
    levels = ", ".join(map(str, match["levels"]))
    window = ""
    if match["window"] is not None:
        (left, top), (right, bottom) = match["window"]
        window = f" of those from ({left}, {top}) to ({right}, {bottom})"
    (x, y), (u, v) = match["at"], match["there"]
    return (
        f"most anomalous at ({x}, {y}), levels {levels}: nearest patch{window} at ({u}, {v}) of "
        f"{match['image_id']}, {match['measure']} {match['distance']:.4g}"
    )


def _threshold_text(threshold: Mapping[str, Any]) -> str:
    if threshold["value"] is None:
        return f"none, because {threshold['reason']}"
    return (
        f"{threshold['value']:.6g} by rule {threshold['rule']}, at a false-positive rate of "
        f"{threshold['rate']:g} on {threshold['images']} held-out normal images"
    )


def print_backbones(here: Sequence[Installed], others: Sequence[str]) -> None:
    """The networks whose weights are here, the names of the others if they are few, how to use these."""
    rows = [
        {
            "name": each.name,
            "library": each.traits.library,
            "levels": ",".join(str(level) for level in each.traits.grids),
            "weights": str(each.weights),
        }
        for each in here
    ]
    print_table(rendered(rows, "backbones"))
    names = ", ".join(others) if len(others) <= _NAMES else "--filter TEXT names those that contain it"
    print(f"without weights here: {len(others)}" + (f": {names}" if others else ""))
    print("--backbone NAME --weights FILE uses one with the state dict in a file (.pth or .safetensors);")
    print("--backbone NAME alone downloads its published weights once, and works without a network then.")
