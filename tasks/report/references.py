"""A run against the one before it, and against published figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.paper.figures import IMAGES, Figure, other_images, other_settings, published
from tasks.report.source import Row, Source

SHOWN: Mapping[str, str] = {
    "image_rocauc_embedding": "image ROCAUC",
    "image_rocauc_map": "image ROCAUC by the map",
    "pixel_rocauc": "pixel ROCAUC",
    "pro": "PRO",
    "pixel_average_precision": "pixel average precision",
}
_PUBLISHED = {"image_rocauc": "image_rocauc_embedding", "pixel_rocauc": "pixel_rocauc", "pro": "pro"}
METHODS: Mapping[str, str] = {
    "SPADE": "paper",
    "SPADE-pytorch": "SPADE-pytorch",
    "SPADE-fast": "SPADE-fast",
}
_SETTINGS = (
    *("backbone", "weights_sha256", "protocol", "levels", "k_image", "k_gallery", "kappa", "fusion"),
    *("upsampling", "distance", "sigma", "metric_resolution", "dtype", "precision"),
)


@dataclass(frozen=True)
class Previous:
    """An earlier run on the same dataset, what differs, and the metrics of both by category."""

    run: Row
    differences: list[str]
    rows: list[dict[str, object]]


@dataclass(frozen=True)
class Reference:
    """A category and metric of the run beside published values, a figure or None for each method."""

    category: str
    metric: str
    value: float
    figures: dict[str, Figure | None]


def previous(source: Source) -> Previous | None:
    """The last earlier run on the dataset, with the same settings if there is one; None for the first."""
    runs = [row for row in source.results.rows("runs") if row["dataset"] == source.run["dataset"]]
    earlier = runs[: next(at for at, row in enumerate(runs) if row["run"] == source.run_id)]
    if not earlier:
        return None
    equal = [row for row in earlier if not _changed(row, source.run)]
    before = (equal or earlier)[-1]
    found = [
        f"{name}: {before[name]} before, {source.run[name]} now" for name in _changed(before, source.run)
    ]
    if before["data_digest"] != source.run["data_digest"]:
        found.append("the images, labels or masks are not the same")
    old = {row["category"]: row for row in source.results.rows("categories", before["run"], source.method)}
    rows = []
    for row in source.categories:
        if row["category"] in old:
            pairs = {name: (old[row["category"]].get(name), row.get(name)) for name in SHOWN}
            rows.append({"category": row["category"], "pairs": pairs})
    return Previous(before, found, rows)


def references(source: Source) -> list[Reference]:
    """Every category and metric that has a published value, and the average where all categories were run."""
    found = []
    rows = [row for row in source.categories if row["status"] == "ok" and row["category"] in IMAGES]
    for row in rows:
        found += _references(row["category"], row, source.run)
    if {row["category"] for row in rows} == set(IMAGES) == {row["category"] for row in source.categories}:
        means = {name: row["mean"] for name, row in source.summary.items()}
        found += _references("average", means, source.run)
    return found


@dataclass(frozen=True)
class PublishedTable:
    """What is published for a category: columns (name: label) and, by method, values of columns."""

    columns: dict[str, str]
    rows: dict[str, dict[str, float]]


def published_table(category: str) -> PublishedTable | None:
    """Every published value of a category of MVTec AD; None for any other name."""
    if category not in IMAGES:
        return None
    rows: dict[str, dict[str, float]] = {}
    for figure in published(category):
        rows.setdefault(figure.name, {})[_PUBLISHED[figure.metric]] = figure.value
    return PublishedTable({name: SHOWN[name] for name in _PUBLISHED.values()}, rows)


def warnings(source: Source, found: list[Reference]) -> dict[str, list[str]]:
    """Why published values are not comparable: by method, and by category for other images."""
    reasons: dict[str, list[str]] = {method: [] for method in METHODS}
    for reference in found:
        for method, figure in reference.figures.items():
            for reason in other_settings(figure, source.run) if figure else ():
                if reason not in reasons[method]:
                    reasons[method].append(reason)
    compared = {reference.category for reference in found}
    for row in source.categories:
        images = other_images(row) if row["category"] in compared else None
        if images is not None:
            reasons[row["category"]] = [images]
    return {name: listed for name, listed in reasons.items() if listed}


def _references(name: str, row: Row, run: Row) -> list[Reference]:
    figures = published(name)
    found = []
    for metric, column in _PUBLISHED.items():
        k = run["k_image" if metric == "image_rocauc" else "k_gallery"]
        chosen = {
            method: _nearest([f for f in figures if (f.method, f.metric) == (method, metric)], k)
            for method in METHODS
        }
        if row.get(column) is not None and any(chosen.values()):
            found.append(Reference(name, column, row[column], chosen))
    return found


def _nearest(figures: list[Figure], k: int) -> Figure | None:
    """The figure whose K is the nearest to the run's."""
    return min(figures, key=lambda figure: abs((figure.k or k) - k), default=None)


def _changed(before: Row, now: Row) -> list[str]:
    return [name for name in _SETTINGS if before[name] != now[name]]
