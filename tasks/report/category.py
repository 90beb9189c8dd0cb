"""The pages of a category: the category itself, galleries of its test images, a page an image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.datasets.manifest import ImageFile
from storage.results.report_folder import ReportFolder
from tasks.core.pictures.colours import heat_colours
from tasks.progress import report
from tasks.report.explanations import Explanations, explain
from tasks.report.images import Look, Pictures, colour_scale, write_pictures
from tasks.report.operating import operating_points
from tasks.report.overview import reasons
from tasks.report.pages import Pages
from tasks.report.references import published_table
from tasks.report.source import Row, Source
from tasks.report.views import (
    ImageView,
    Rules,
    hardest,
    image_charts,
    kinds,
    pixel_charts,
    places,
    rules_of,
)

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
    part, scores = source.manifest.of(name), source.scores(category)
    test = part.tested()
    look = Look(colour_scale(source, scores, test, pool), category["pixel_f1_max_threshold"], heat_colours())
    pictures = _pictures(source, scores, test, look, folder, prefix, pool)
    explanations = explain(source, category, part, folder, prefix, pool)
    rules = rules_of(source.images[name])
    views = _views(source, category, pictures, explanations, rules)
    order = [*rules][-1]
    ranked = sorted(views, key=lambda view: view.places[order])
    shared = {
        "category": category,
        "count": len(views),
        "look": look,
        "explanations": explanations,
        "rules": rules,
        "order": order,
    }
    pages.write(
        f"{prefix}/index.html",
        "category",
        **shared,
        reasons=reasons(category, source.metrics),
        image_charts=image_charts(category, [view.row for view in views], rules),
        pixel_charts=pixel_charts(_pairs(source, scores, pictures)),
        kinds=kinds(views, _recalls(source, scores, look, pictures), rules),
        operating=operating_points(source, name, views),
        hardest={rule: hardest(views, rule, HARDEST) for rule in rules},
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
        regions = source.regions.get(view.entry.image_id, [])
        context = shared | {"view": view, "before": before, "after": after, "regions": regions}
        pages.write(f"{prefix}/{view.page}", "image", **context)
    files = [view.pictures.files for view in ranked]
    best = next((of_image[kind] for kind in ("map", "image") for of_image in files if kind in of_image), "")
    return Chapter(category, prefix, f"{prefix}/{best}" if best else "")


def _pictures(
    source: Source,
    scores: Scores,
    test: Sequence[ImageFile],
    look: Look,
    folder: ReportFolder,
    prefix: str,
    pool: Executor,
) -> list[Pictures]:
    """The pictures of test images, written, in the order of the manifest."""
    pictures = []
    written = pool.map(
        lambda at: write_pictures(source, scores, test[at], look, folder, prefix, f"{at + 1:04}"),
        range(len(test)),
    )
    for done, tiles in enumerate(written, start=1):
        pictures.append(tiles)
        report("report", tiles.entry.category, done, len(test))
    return pictures


def _views(
    source: Source, category: Row, pictures: Sequence[Pictures], explanations: Explanations, rules: Rules
) -> list[ImageView]:
    """The test images in the order of the manifest."""
    rows = {row["image_id"]: row for row in source.images[category["category"]]}
    order = places(list(rows.values()), rules)
    return [
        ImageView(
            rows[tiles.entry.image_id],
            f"{number:04}.html",
            tiles,
            explanations.neighbors[tiles.entry.image_id],
            explanations.matches.get(tiles.entry.image_id, []),
            _flagged(category, rows[tiles.entry.image_id], rules),
            order[tiles.entry.image_id],
        )
        for number, tiles in enumerate(pictures, start=1)
    ]


def _flagged(category: Row, row: Row, rules: Rules) -> dict[str, bool | None]:
    thresholds = {rule: category[f"image_f1_max_threshold_{rule}"] for rule in rules}
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
