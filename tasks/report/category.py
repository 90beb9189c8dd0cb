"""The pages of a category: the category itself, galleries of its test images, a page an image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.results.report_folder import ReportFolder
from storage.results.schemas import SCORE_RULES
from tasks.core.pictures.colours import heat_colours
from tasks.progress import report
from tasks.report.images import Look, Pictures, colour_scale, write_pictures, write_training
from tasks.report.matches import Match, matches
from tasks.report.pages import Pages
from tasks.report.references import published_table
from tasks.report.source import Row, Source
from tasks.report.views import ImageView, Neighbor, hardest, image_charts, kinds, pixel_charts, places

GALLERY = 60  # images on a page of all
HARDEST = 6


@dataclass(frozen=True)
class Chapter:
    """A category on the first page: its row, its folder ("" if it failed), a picture ("" for none)."""

    row: Row
    folder: str
    picture: str


def write_chapter(
    source: Source, folder: ReportFolder, pages: Pages, category: Row, number: int, pool: Executor
) -> Chapter:
    """Write the pages and pictures of a category, the `number`th of the run."""
    if category["status"] != "ok":
        return Chapter(category, "", "")
    name = category["category"]
    prefix = f"{number:02}-{_slug(name)}"
    part = source.manifest.of(name)
    entries, scores = part.test(), source.scores(category)
    look = Look(
        colour_scale(source, scores, entries, pool), category["pixel_f1_max_threshold"], heat_colours()
    )
    pictures = []
    shown = pool.map(
        lambda at: write_pictures(source, scores, entries[at], look, folder, prefix, f"{at + 1:04}"),
        range(len(entries)),
    )
    for done, tiles in enumerate(shown, start=1):
        pictures.append(tiles)
        report("report", name, done, len(entries))
    training = {entry.image_id: entry for entry in part.train()}
    galleries = {
        entry.image_id: [training[row["neighbor_id"]] for row in source.neighbors[entry.image_id]]
        for entry in entries
    }
    near = {entry.image_id: entry for gallery in galleries.values() for entry in gallery}
    files = write_training(source, list(near.values()), folder, prefix, pool)
    compared = {image_id: gallery[: category["k_gallery"]] for image_id, gallery in galleries.items()}
    views = _views(source, category, pictures, files, matches(source, scores, entries, compared, pool))
    ranked = sorted(views, key=lambda view: view.places["map"])
    shared = {"category": category, "count": len(views), "look": look}
    pages.write(
        f"{prefix}/index.html",
        "category",
        **shared,
        image_charts=image_charts(category, [view.row for view in views]),
        pixel_charts=pixel_charts(_pairs(source, scores, pictures)),
        kinds=kinds(views, _recalls(source, scores, look, pictures)),
        hardest={rule: hardest(views, rule, HARDEST) for rule in SCORE_RULES},
        galleries=-(-len(views) // GALLERY),
        set_aside=part.excluded(),
        notes=[(tiles.entry, note) for tiles in pictures for note in tiles.notes],
        published=published_table(name),
    )
    for page, first in enumerate(range(0, len(ranked), GALLERY), start=1):
        pages.write(
            f"{prefix}/images-{page}.html",
            "gallery",
            **shared,
            views=ranked[first : first + GALLERY],
            page=page,
            pages=-(-len(views) // GALLERY),
            first=first + 1,
        )
    for before, view, after in zip([None, *views], views, [*views[1:], None], strict=False):
        pages.write(f"{prefix}/{view.page}", "image", **shared, view=view, before=before, after=after)
    best = next((view.pictures.files["map"] for view in ranked if "map" in view.pictures.files), "")
    return Chapter(category, prefix, f"{prefix}/{best}" if best else "")


def _views(
    source: Source,
    category: Row,
    pictures: Sequence[Pictures],
    files: Mapping[str, str],
    found: Mapping[str, list[Match] | str],
) -> list[ImageView]:
    """The test images in the order of the manifest; `files` of the training images by image_id."""
    rows = {row["image_id"]: row for row in source.images[category["category"]]}
    order = places(list(rows.values()))
    split = f"{category['category']}/train/"
    views = []
    for number, tiles in enumerate(pictures, start=1):
        image_id = tiles.entry.image_id
        neighbors = [
            Neighbor(
                row["rank"],
                row["neighbor_id"],
                row["neighbor_id"].removeprefix(split),
                row["squared_distance"],
                files[row["neighbor_id"]],
            )
            for row in source.neighbors[image_id]
        ]
        flagged = _flagged(category, rows[image_id])
        views.append(
            ImageView(
                rows[image_id],
                f"{number:04}.html",
                tiles,
                neighbors,
                found[image_id],
                flagged,
                order[image_id],
            )
        )
    return views


def _flagged(category: Row, row: Row) -> dict[str, bool | None]:
    thresholds = {rule: category[f"image_f1_max_threshold_{rule}"] for rule in SCORE_RULES}
    return {
        rule: None if threshold is None else row[f"score_{rule}"] >= threshold
        for rule, threshold in thresholds.items()
    }


def _pairs(
    source: Source, scores: Scores, pictures: Sequence[Pictures]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Anomaly maps and true masks, one pair at a time, of the images that have both."""
    for tiles in pictures:
        if tiles.truth is not None:
            values = source.anomaly_map(scores, tiles.entry)
            if not isinstance(values, str):
                yield values, tiles.truth


def _recalls(source: Source, scores: Scores, look: Look, pictures: Sequence[Pictures]) -> dict[str, float]:
    """The share of the true mask's pixels at or above the pixel threshold, by image_id."""
    if look.threshold is None:
        return {}
    drawn = [tiles for tiles in pictures if tiles.truth is not None and tiles.truth.any()]
    return {
        tiles.entry.image_id: float(np.mean(values[truth] >= look.threshold))
        for tiles in drawn
        for values, truth in _pairs(source, scores, [tiles])
    }


def _slug(name: str) -> str:
    """A folder's name that needs no quoting in a link."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:40] or "category"
