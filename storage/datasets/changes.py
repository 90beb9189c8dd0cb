"""What became of a dataset's images since another manifest of it, found by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from storage.datasets.manifest import OK, ImageFile, Manifest

KINDS = ("added", "changed", "relabelled", "renamed", "removed")


def changes(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """One row a usable image that was added, changed, relabelled, renamed or removed, sorted by image_id.

    An image is changed if its id has another content; relabelled if its split, kind of defect or mask is
    another; renamed if its content had another id in its category, which nothing has now. What is set aside
    counts as absent.
    """
    old, new = _usable(before), _usable(after)
    gone = {(image.category, image.key): name for name, image in old.items() if name not in new}
    rows = list(_of_new(old, new, gone))
    renamed = {row["previous_id"] for row in rows if row["kind"] == "renamed"}
    rows += [_row("removed", image) for name, image in old.items() if name not in new and name not in renamed]
    return sorted(rows, key=lambda row: row["image_id"])


def _of_new(
    old: Mapping[str, ImageFile], new: Mapping[str, ImageFile], gone: dict[tuple[str, str], str]
) -> Iterator[dict[str, Any]]:
    for name, image in sorted(new.items()):
        known = old.get(name)
        if known is None:
            previous = gone.pop((image.category, image.key), None)
            yield _row("added", image) if previous is None else _row("renamed", image, previous)
        elif known.key != image.key:
            yield _row("changed", image)
        elif _label(known) != _label(image):
            yield _row("relabelled", image)


def _usable(manifest: Manifest) -> dict[str, ImageFile]:
    return {
        image.image_id: image
        for image in manifest.files
        if image.status == OK and image.split != "ground_truth"
    }


def _label(image: ImageFile) -> tuple[str, str, str]:
    return image.split, image.defect, image.mask_key


def _row(kind: str, image: ImageFile, previous: str | None = None) -> dict[str, Any]:
    return {
        "kind": kind,
        "category": image.category,
        "split": image.split,
        "image_id": image.image_id,
        "previous_id": previous,
    }
