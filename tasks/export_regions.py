"""Anomalous regions of a run for other programs: COCO JSON, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.store import DEFAULT_STORE
from tasks.core.pictures.regions import Region, find_regions
from tasks.core.pictures.restore import restore
from tasks.progress import report
from tasks.run.tables import configuration_of

RegionFormat = Literal["coco", "jsonl"]
_NAMES: Mapping[RegionFormat, str] = {"coco": "regions.json", "jsonl": "regions.jsonl"}
_OF_REGION = tuple(each.name for each in fields(Region))

Row = dict[str, Any]


def export_regions(
    store: str = DEFAULT_STORE,
    run: str = "latest",
    folder: str | Path = "regions",
    *,
    category: str | None = None,
    method: str | None = None,
    format: RegionFormat = "coco",
) -> Path:
    """Write the anomalous regions of each scored image at the run's operating point; the file is returned.

    They are those of a method; without its name, of the run's first that has maps. FOLDER/regions.json is as
    COCO's annotations of instances, each with its peak as `score` and its pixels as uncompressed run lengths;
    the categories are those of the dataset. FOLDER/regions.jsonl has a line an image. Images without a region
    are in both.

    Raises:
        StoreError: the run has no pixel threshold, no such category or method, or a map of it is gone.
    """
    results = Results(store)
    record = results.rows("run", run)[0]
    run = record["run"]
    chosen = results.map_method(run, method)
    images = [
        row
        for row in results.rows("images", run, chosen)
        if row["flagged_pixel"] is not None and category in (None, row["category"])
    ]
    if not images:
        raise StoreError(_reason(results, run, chosen, category))
    sizes = {row["image_id"]: (row["height"], row["width"]) for row in results.rows("manifest", run)}
    regions: dict[str, list[Row]] = {}
    for row in results.rows("regions", run, chosen):
        regions.setdefault(row["image_id"], []).append(row)
    path = Path(folder) / _NAMES[format]
    path.parent.mkdir(parents=True, exist_ok=True)
    if format == "jsonl":
        lines = (
            json.dumps(_line(row, sizes[row["image_id"]], regions), ensure_ascii=False) for row in images
        )
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path
    masks = _masks(results, record, chosen, images, sizes, regions)
    about = {"run": run, "method": chosen, "fpr": record["fpr"]}
    path.write_text(json.dumps(_coco(about, images, sizes, regions, masks), ensure_ascii=False), "utf-8")
    return path


def _reason(results: Results, run: str, method: str, category: str | None) -> str:
    """Why there is nothing to write."""
    rows = [
        row
        for row in results.rows("operating", run, method)
        if row["rule"] == "pixel" and category in (None, row["category"])
    ]
    reasons = "; ".join(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
    where = "" if category is None else f", category {category}"
    return (
        f"run {run}{where} has no pixel threshold"
        f"{f' ({reasons})' if reasons else ''}: evaluate with --fpr, as 0.05, or name another --category"
    )


def _line(row: Row, size: tuple[int, int], regions: Mapping[str, list[Row]]) -> Row:
    """An image with its regions, as a line."""
    names = ("image_id", "category", "split", "anomalous", "defect", "peak", "flagged_pixel")
    found = [
        {name: each[name] for name in (*_OF_REGION, "true_share")}
        for each in regions.get(row["image_id"], [])
    ]
    height, width = size
    return {name: row[name] for name in names} | {"height": height, "width": width, "regions": found}


def _masks(
    results: Results,
    record: Row,
    method: str,
    images: list[Row],
    sizes: Mapping[str, tuple[int, int]],
    regions: Mapping[str, list[Row]],
) -> Iterator[list[NDArray[np.bool_]]]:
    """Of each image with regions, what of their boxes belongs to them."""
    how = configuration_of(record).preprocessing
    names = [row["image_id"] for row in images if row["image_id"] in regions]
    maps = results.anomaly_maps(record["run"], names, method)
    for done, (name, anomaly_map) in enumerate(zip(names, maps, strict=True), start=1):
        heat = restore(anomaly_map, how, *sizes[name])
        yield find_regions(heat, regions[name][0]["threshold"])[1]
        report("export", None, done, len(names))


def _coco(
    about: Row,
    images: list[Row],
    sizes: Mapping[str, tuple[int, int]],
    regions: Mapping[str, list[Row]],
    masks: Iterable[list[NDArray[np.bool_]]],
) -> Row:
    names = sorted({row["category"] for row in images})
    categories = [
        {"id": number, "name": name, "supercategory": "anomaly"} for number, name in enumerate(names, start=1)
    ]
    known = {each["name"]: each["id"] for each in categories}
    annotations: list[Row] = []
    described = []
    of_images = iter(masks)
    for number, row in enumerate(images, start=1):
        height, width = sizes[row["image_id"]]
        described.append({"id": number, "file_name": row["image_id"], "height": height, "width": width})
        found = regions.get(row["image_id"], [])
        for region, inside in zip(found, next(of_images) if found else [], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": known[row["category"]],
                    "bbox": [region[name] for name in ("left", "top", "width", "height")],
                    "area": region["area"],
                    "iscrowd": 0,
                    "score": region["peak"],
                    "segmentation": run_lengths(inside, region["left"], region["top"], height, width),
                    "defect": region["defect"],
                }
            )
    return {"info": about, "images": described, "annotations": annotations, "categories": categories}


def run_lengths(inside: NDArray[np.bool_], left: int, top: int, height: int, width: int) -> Row:
    """COCO's uncompressed run lengths of a mask (H, W) that is empty but for a box (h, w) at (top, left).

    Column by column: how many pixels are outside, then inside, and so on.
    """
    mask = np.zeros((height, width), dtype=bool)
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate(([0], edges, [flat.size]))).tolist()
    return {"size": [height, width], "counts": [0, *counts] if flat[0] else counts}
