"""From a dataset to its manifest: every file listed, hashed, checked, and put on its side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

from storage.datasets.dataset import Dataset, find_categories, mask_digest, read_content
from storage.datasets.images import SUFFIXES, UnreadableImageError, decode_image, decode_mask
from storage.datasets.layouts.file import File
from storage.datasets.layouts.folders import Folders
from storage.datasets.layouts.known import Layout
from storage.datasets.manifest import OK, ImageFile, Manifest


def read_manifest(
    dataset: Dataset,
    categories: Sequence[str] = (),
    *,
    known: Manifest | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """List, hash and check the files of all categories of a dataset, or of those named.

    Every image and mask is decoded once, unless `known` holds the same content. A broken file is set aside
    with its reason and never raises.

    Raises:
        DatasetError: no root, no category in it, or none of that name.
    """
    names = find_categories(dataset, categories)
    files = list(dataset.layout.files(dataset.folder, dataset.name, names))
    facts = {entry.sha256: entry for entry in known.files if entry.status == OK} if known else {}
    entries = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, entry in enumerate(pool.map(lambda file: _check(dataset, file, facts), files), start=1):
            entries.append(entry)
            if progress is not None:
                progress(done, len(files))
    divided = _divide(dataset.layout, entries)
    order = sorted(_warn_of_duplicates(divided), key=lambda e: (e.category, e.split, e.image_id))
    return Manifest(dataset.name, tuple(order))


def _check(dataset: Dataset, file: File, facts: Mapping[str | None, ImageFile]) -> ImageFile:
    """Hash and decode one file; what is wrong with it becomes its reason."""
    entry = ImageFile(
        dataset.name,
        file.category,
        file.split,
        file.image_id,
        anomalous=file.anomalous,
        defect=file.defect,
        mask=file.mask,
    )
    if file.reason is not None:
        return entry.set_aside(file.reason)
    suffix = PurePosixPath(file.image_id).suffix
    if suffix.lower() not in SUFFIXES:
        return entry.set_aside(f"{suffix or 'no suffix'} is not one of {', '.join(sorted(SUFFIXES))}")
    try:
        content = read_content(dataset, file.image_id)
        sha256 = hashlib.sha256(content).hexdigest()
        entry = replace(entry, sha256=sha256, bytes=len(content))
        if sha256 in facts:
            seen = facts[sha256]
            entry = replace(entry, width=seen.width, height=seen.height, mode=seen.mode)
        else:
            image, mode = decode_image(content)
            entry = replace(entry, height=image.shape[0], width=image.shape[1], mode=mode)
    except UnreadableImageError as error:
        return entry.set_aside(f"unreadable: {error}")
    return _check_mask(dataset, entry, facts)


def _check_mask(dataset: Dataset, entry: ImageFile, facts: Mapping[str | None, ImageFile]) -> ImageFile:
    if entry.mask is None:
        return replace(entry, mask_reason="no mask") if entry.anomalous and entry.split == "test" else entry
    threshold = dataset.layout.mask_threshold
    try:
        content = read_content(dataset, entry.mask)
        sha256 = mask_digest(content, threshold)
        seen = facts.get(entry.sha256)
        if seen is not None and seen.mask_sha256 == sha256 and seen.anomalous == entry.anomalous:
            return replace(entry, mask_sha256=sha256)
        mask = decode_mask(content, threshold)
    except UnreadableImageError as error:
        return replace(entry, mask_reason=f"unreadable mask: {error}")
    if mask.shape != (entry.height, entry.width):
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        return replace(entry, mask_reason=f"mask of {size}, image of {entry.width}x{entry.height}")
    if entry.anomalous and not mask.any():
        return replace(entry, mask_reason=f"no pixel of the mask is above {threshold} of 255")
    if not entry.anomalous and mask.any():
        return replace(entry, mask_reason="a normal image whose mask has anomalous pixels")
    return replace(entry, mask_sha256=sha256)


def _divide(layout: Layout, entries: Iterable[ImageFile]) -> Iterator[ImageFile]:
    """Decide for undecided normal images whether they are trained with, category by category."""
    entries = list(entries)
    undecided = [entry for entry in entries if entry.split == "undecided"]
    if not isinstance(layout, Folders) or not undecided:
        yield from entries
        return
    usable: dict[str, list[str]] = {}
    for entry in undecided:
        if entry.status == OK:
            usable.setdefault(entry.category, []).append(entry.key)
    trained = {(name, key) for name, keys in usable.items() for key in layout.trained(keys)}
    for entry in entries:
        if entry.split == "undecided":
            if entry.status != OK or (entry.category, entry.sha256) in trained:
                entry = replace(entry, split="train", mask=None, mask_sha256=None, mask_reason=None)
            else:
                entry = replace(entry, split="test")
        yield entry


def _warn_of_duplicates(entries: Iterable[ImageFile]) -> Iterator[ImageFile]:
    """Say of a test image that its content is also a training image of the category."""
    entries = list(entries)
    trained = {
        (entry.category, entry.sha256): entry.image_id
        for entry in entries
        if entry.split == "train" and entry.status == OK
    }
    for entry in entries:
        twin = trained.get((entry.category, entry.sha256))
        if entry.split == "test" and entry.status == OK and twin is not None:
            entry = replace(entry, warning=f"the same image is in training: {twin}")
        yield entry
