"""Anomaly maps of a run as 16-bit pictures at the size of their images."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.store import DEFAULT_STORE
from tasks.core.errors import ConfigurationError
from tasks.core.pictures.restore import quantise, restore
from tasks.progress import report
from tasks.run.tables import configuration_of

Format = Literal["tiff", "png"]
_SUFFIXES = {"tiff": ".tif", "png": ".png"}
_DESCRIPTION = 270  # the tag ImageDescription of TIFF


def export_maps(
    store: str = DEFAULT_STORE,
    run: str = "latest",
    folder: str | Path = "maps",
    *,
    category: str | None = None,
    method: str | None = None,
    format: Format = "tiff",
) -> Path:
    """Write the map of each scored test image to FOLDER/IMAGE_ID.tif or .png, 16 bits, at the image's size.

    They are those of a method; without its name, of the run's first that has maps. All share one scale, so
    that they can be compared: value = lowest + (pixel - 1) * step. Pixel 0 is outside the crop that was
    evaluated. Scale and files stand in FOLDER/maps.json, written last and returned,
    and the scale in the tag ImageDescription of each TIFF.

    Raises:
        ConfigurationError: no such format.
        StoreError: the run has no such category or method, or no map of an image.
    """
    if format not in get_args(Format):
        raise ConfigurationError(
            f"format is {format!r}: it is one of {', '.join(get_args(Format))}, mvtec_ad_2"
        )
    results = Results(store)
    record = results.rows("run", run)[0]
    run = record["run"]
    how = configuration_of(record).preprocessing
    sizes = {row["image_id"]: (row["height"], row["width"]) for row in results.rows("manifest", run)}
    chosen = results.map_method(run, method)
    names = [
        row["image_id"]
        for row in results.rows("images", run, chosen)
        if row["score_map"] is not None and category in (None, row["category"])
    ]
    if not names:
        raise StoreError(f"run {run} has no map of category {category or 'any'}: name another --category")
    ends = [(values.min(), values.max()) for values in results.anomaly_maps(run, names, chosen)]
    lowest = float(min(low for low, _ in ends))
    step = (float(max(high for _, high in ends)) - lowest) / 65534 or 1.0
    scale = {"run": run, "method": chosen, "lowest": lowest, "step": step, "not_evaluated": 0}
    files = {}
    maps = results.anomaly_maps(run, names, chosen)
    for done, (name, values) in enumerate(zip(names, maps, strict=True), start=1):
        path = Path(folder) / f"{name}{_SUFFIXES[format]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = quantise(restore(values, how, *sizes[name]), lowest, step)
        path.write_bytes(_encoded(pixels, format, scale))
        files[name] = path.relative_to(folder).as_posix()
        report("export", category, done, len(names))
    sidecar = Path(folder) / "maps.json"
    formula = "value = lowest + (pixel - 1) * step"
    sidecar.write_text(
        json.dumps({**scale, "formula": formula, "files": files}, indent=1, ensure_ascii=False)
    )
    return sidecar


def _encoded(pixels: NDArray[np.uint16], format: Format, scale: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    picture = Image.fromarray(pixels)
    if format == "tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[_DESCRIPTION] = json.dumps(scale)
        picture.save(sink, format="TIFF", compression="tiff_adobe_deflate", tiffinfo=tags)
    else:
        picture.save(sink, format="PNG")
    return sink.getvalue()
