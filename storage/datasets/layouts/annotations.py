"""Annotations of instances, as COCO has them."""

from __future__ import annotations

import io
import json
from functools import lru_cache
from typing import Any

import numpy as np

from storage.datasets.outlines import draw
from storage.store.location import Location, read_bytes


class Annotations:
    """Images and their annotations by the image's number, names of kinds by theirs."""

    def __init__(self, content: bytes) -> None:
        """Parse a file of them; ValueError, KeyError or TypeError if it is none."""
        table = json.loads(content)
        self.images: dict[int, dict[str, Any]] = {image["id"]: image for image in table["images"]}
        self.kinds: dict[int, str] = {kind["id"]: kind["name"] for kind in table["categories"]}
        self.annotations: dict[int, list[dict[str, Any]]] = {number: [] for number in self.images}
        for annotation in table.get("annotations", ()):
            self.annotations[annotation["image_id"]].append(annotation)

    def mask(self, number: int) -> bytes:
        """What the annotations of an image describe together, drawn as an array (H, W)."""
        image = self.images[number]
        height, width = image["height"], image["width"]
        drawn = [draw(each["segmentation"], height, width) for each in self.annotations[number]]
        sink = io.BytesIO()
        np.save(sink, np.any(drawn, axis=0).astype(np.uint8))
        return sink.getvalue()


@lru_cache(maxsize=4)
def annotations_of(path: Location, stamp: str) -> Annotations:  # noqa: ARG001 (another file, another key)
    """Those of a file with this stamp, parsed once."""
    return Annotations(read_bytes(path))
