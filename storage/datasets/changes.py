"""What became of a dataset's images since another manifest of it, found by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from storage.datasets.dataset import OK, ImageFile, Manifest

KINDS = ("added", "changed", "relabelled", "renamed", "removed")


def changes(before: Manifest, after: Manifest) -> list[dict[str, Any]]:
    """One row a usable image that was added, changed, relabelled, renamed or removed, sorted by image_id.

    An image is changed if its id has another content; relabelled if its split, kind of defect or mask is
    another; renamed if its content had another id in its category, which nothing has now. What is set aside
    counts as absent.
    """
    old, new = _usable(before), _usable(after)
    gone = {(entry.category, entry.key): name for name, entry in old.items() if name not in new}
    rows = list(_of_new(old, new, gone))
    renamed = {row["previous_id"] for row in rows if row["kind"] == "renamed"}
    rows += [_row("removed", entry) for name, entry in old.items() if name not in new and name not in renamed]
    return sorted(rows, key=lambda row: row["image_id"])


def _of_new(
    old: Mapping[str, ImageFile], new: Mapping[str, ImageFile], gone: dict[tuple[str, str], str]
) -> Iterator[dict[str, Any]]:
    for name, entry in sorted(new.items()):
        known = old.get(name)
        if known is None:
            previous = gone.pop((entry.category, entry.key), None)
            yield _row("added", entry) if previous is None else _row("renamed", entry, previous)
        elif known.key != entry.key:
            yield _row("changed", entry)
        elif _label(known) != _label(entry):
            yield _row("relabelled", entry)


def _usable(manifest: Manifest) -> dict[str, ImageFile]:
    return {
        entry.image_id: entry
        for entry in manifest.files
        if entry.status == OK and entry.split in ("train", "test")
    }


def _label(entry: ImageFile) -> tuple[str, str, str | None]:
    return entry.split, entry.defect, entry.mask_sha256


def _row(kind: str, entry: ImageFile, previous: str | None = None) -> dict[str, Any]:
    return {
        "kind": kind,
        "category": entry.category,
        "split": entry.split,
        "image_id": entry.image_id,
        "previous_id": previous,
    }
