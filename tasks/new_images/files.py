"""Image files scored one after the other: a row each, and pictures of what was found."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from storage.datasets.dataset import read_image
from storage.datasets.images import SUFFIXES, UnreadableImageError, encode_png
from storage.errors import DatasetError
from tasks.core.pictures.colours import heat_colours
from tasks.core.pictures.overlays import evaluated_area, paired
from tasks.core.pictures.restore import heat_picture, mask_picture, pixel
from tasks.methods.matches import Match
from tasks.new_images.scorer import Scored, Scorer
from tasks.progress import report

TILE = 448  # pixels a side, of each picture of a match
_HEAT, _MASK, _MATCH = ".heat.png", ".mask.png", ".match.png"


def score_files(scorer: Scorer, names: Sequence[str], output: str | None = None) -> Iterator[dict[str, Any]]:
    """Score the files and folders named: a row an image, with its scores, or the reason why it has none.

    With `output`, a folder, each image NAME has two PNG files at its size there, below the same folders:
    NAME.heat.png, the anomaly map over the image in colours that run from 0 to twice the threshold of the
    mask (without one to the highest value of the map), transparent outside the evaluated crop; and
    NAME.mask.png, 255 where anomalous, 64 outside the crop. NAME.match.png has its most anomalous patch
    beside the nearest one of a training image, a row a matched grid, where the method says which that is.
    Name the images' own folder to have them beside the images.

    Raises:
        DatasetError: no image there.
    """
    files = find_images(names)
    base = Path(os.path.commonpath([path if path.is_dir() else path.parent for path in _paths(names)]))
    category = scorer.category
    for done, path in enumerate(files, start=1):
        row: dict[str, Any] = {"image": str(path), "category": category}
        try:
            scored = scorer.score(path)
        except UnreadableImageError as error:
            yield row | {"reason": str(error)}
        else:
            pictures: dict[str, str] = {}
            wanted = output is not None or scored.verdict != "normal"
            matches = scorer.matches(scored) if wanted else []
            if output is not None:
                target = Path(output) / path.relative_to(base)
                pictures = _write_pictures(scorer, scored, target)
                pictures |= _write_matches(scorer, scored, matches, target)
            yield row | {
                "score_embedding": scored.score_embedding,
                "score_map": scored.score_map,
                "threshold": scored.threshold.value,
                "verdict": scored.verdict,
                "neighbors": [asdict(neighbor) for neighbor in scored.neighbors],
                "matches": [_in_pixels(scored, match) for match in matches],
                **pictures,
            }
        report("score", category, done, len(files))


def find_images(names: Sequence[str]) -> list[Path]:
    """The files named, and the images in the folders named and below, without the pictures made of them.

    Raises:
        DatasetError: none.
    """
    found = []
    for path in _paths(names):
        inside = sorted(below for below in path.rglob("*") if _is_image(below)) if path.is_dir() else [path]
        found += inside
    if not found:
        raise DatasetError(f"no image in {', '.join(names)}: looked for {', '.join(sorted(SUFFIXES))}")
    return list(dict.fromkeys(found))


def _paths(names: Sequence[str]) -> list[Path]:
    return [Path(os.path.abspath(Path(name).expanduser())) for name in names]


def _is_image(path: Path) -> bool:
    known = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    return known and not path.name.endswith((_HEAT, _MASK, _MATCH)) and path.is_file()


def _write_pictures(scorer: Scorer, scored: Scored, path: Path) -> dict[str, str]:
    """Write the heat map and, where there is a threshold, the mask; paths by column."""
    heat = scored.heat_map()
    if heat is None or scored.anomaly_map is None:
        return {}
    mask, limit = scorer.mask(scored), scorer.threshold("pixel").value
    highest = float(scored.anomaly_map.max()) if limit is None else 2 * limit
    pictures = {_HEAT: heat_picture(scored.image, heat, highest, heat_colours())}
    if mask is not None:
        pictures[_MASK] = mask_picture(mask, ~np.isnan(heat))
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {_HEAT: "heat_map", _MASK: "mask"}
    for suffix, picture in pictures.items():
        path.with_name(path.name + suffix).write_bytes(encode_png(picture))
    return {columns[suffix]: str(path.with_name(path.name + suffix)) for suffix in pictures}


def _in_pixels(scored: Scored, match: Match) -> dict[str, Any]:
    """A match for machines: columns and rows in the images."""
    height, width = scored.image.shape[:2]
    training = match.training
    how = scored.preprocessing
    corners = None if match.window is None else (match.window[:2], match.window[2:])
    size = training.width or 0, training.height or 0
    return {
        "levels": list(match.levels),
        "at": pixel(match.at, how, width, height),
        "image_id": training.image_id,
        "there": pixel(match.there, how, *size),
        "window": None if corners is None else [pixel(corner, how, *size) for corner in corners],
        "measure": match.measure,
        "distance": match.distance,
    }


def _write_matches(scorer: Scorer, scored: Scored, matches: Sequence[Match], path: Path) -> dict[str, str]:
    """Write the picture of the matches whose training images are still there; its path by column."""
    dataset, rows = scorer.scoring.part.job.dataset, []
    for match in matches:
        try:
            training = read_image(dataset, match.training)
        except UnreadableImageError:
            continue
        here, there = (evaluated_area(each, scored.preprocessing, TILE) for each in (scored.image, training))
        rows.append(paired(here, there, match.at, match.there, match.cell, match.window))
    if not rows:
        return {}
    target = path.with_name(path.name + _MATCH)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(encode_png(np.concatenate(rows)))
    return {"match": str(target)}
