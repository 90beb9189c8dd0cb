"""From a dataset to its manifest: every file listed, hashed, checked, and put on its side."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import PurePosixPath

from storage.datasets.arrays import slice_of
from storage.datasets.dataset import Dataset, all_categories, find_categories, mask_digest, read_content
from storage.datasets.images import SUFFIXES, UnreadableImageError, decode_image, decode_mask
from storage.datasets.layouts.file import File
from storage.datasets.layouts.interface import Layout
from storage.datasets.manifest import OK, ImageFile, Manifest
from storage.datasets.tree import Tree


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
    tree = dataset.tree()
    names = find_categories(dataset, categories, tree)
    files = list(dataset.layout.files(tree, dataset.name, names))
    files += _unusable_folders(tree, names, all_categories(dataset, tree))
    facts = {image.sha256: image for image in known.files if image.status == OK} if known else {}
    images = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        checked = pool.map(lambda file: _check(dataset, tree, file, facts), files)
        for done, image in enumerate(checked, start=1):
            images.append(image)
            if progress is not None:
                progress(done, len(files))
    divided = _divide(dataset.layout, images)
    order = sorted(_warn_of_duplicates(divided), key=lambda e: (e.category, e.split, e.image_id))
    return Manifest(dataset.name, tuple(order))


def _unusable_folders(tree: Tree, names: Sequence[str], every: Sequence[str]) -> Iterator[File]:
    """A folder that cannot be listed, in the category that its path names, or else in each of `names`."""
    for folder, reason in sorted(tree.unusable_folders.items()):
        parts = PurePosixPath(folder).parts
        for category in [name for name in every if name in parts] or names:
            if category in names:
                yield File(category, "train" if "train" in parts else "test", folder, reason=reason)


def _check(dataset: Dataset, tree: Tree, file: File, facts: Mapping[str | None, ImageFile]) -> ImageFile:
    """Hash and decode one file; what is wrong with it becomes its reason."""
    image = ImageFile(
        dataset.name,
        file.category,
        file.split,
        file.image_id,
        anomalous=file.anomalous,
        defect=file.defect,
        mask=file.mask,
    )
    reason = file.reason or tree.reason(file.image_id)
    if reason is not None:
        return image.set_aside(reason)
    suffix = PurePosixPath(file.image_id).suffix
    if suffix.lower() not in SUFFIXES:
        return image.set_aside(f"{suffix or 'no suffix'} is not one of {', '.join(sorted(SUFFIXES))}")
    try:
        content = read_content(dataset, file.image_id)
        sha256 = hashlib.sha256(content).hexdigest()
        image = replace(image, sha256=sha256, bytes=len(content))
        if sha256 in facts:
            seen = facts[sha256]
            image = replace(image, width=seen.width, height=seen.height, mode=seen.mode)
        else:
            pixels, mode = decode_image(content)
            image = replace(image, height=pixels.shape[0], width=pixels.shape[1], mode=mode)
    except UnreadableImageError as error:
        return image.set_aside(f"unreadable: {error}")
    return _check_mask(dataset, tree, image, facts)


def _check_mask(
    dataset: Dataset, tree: Tree, image: ImageFile, facts: Mapping[str | None, ImageFile]
) -> ImageFile:
    if image.mask is None:
        return replace(image, mask_reason="no mask") if image.anomalous and image.split == "test" else image
    threshold = dataset.layout.mask_threshold
    part = slice_of(image.mask)
    reason = tree.reason(image.mask if part is None else part[0])
    if reason is not None:
        return replace(image, mask_reason=f"unreadable mask: {reason}")
    try:
        content = read_content(dataset, image.mask)
        sha256 = mask_digest(content, threshold)
        seen = facts.get(image.sha256)
        if seen is not None and seen.mask_sha256 == sha256 and seen.anomalous == image.anomalous:
            return replace(image, mask_sha256=sha256)
        mask = decode_mask(content, threshold)
    except UnreadableImageError as error:
        return replace(image, mask_reason=f"unreadable mask: {error}")
    if mask.shape != (image.height, image.width):
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        return replace(
            image, mask_reason=f"a mask of another size: {size}, image {image.width}x{image.height}"
        )
    if image.anomalous and not mask.any():
        return replace(image, mask_reason=f"no pixel of the mask is above {threshold} of 255")
    if not image.anomalous and mask.any():
        return replace(image, mask_reason="a normal image whose mask has anomalous pixels")
    return replace(image, mask_sha256=sha256)


def _divide(layout: Layout, images: Iterable[ImageFile]) -> Iterator[ImageFile]:
    """Decide for undecided normal images whether they are trained with, category by category."""
    images = list(images)
    undecided = [image for image in images if image.split == "undecided"]
    usable: dict[str, list[str]] = {}
    for image in undecided:
        if image.status == OK:
            usable.setdefault(image.category, []).append(image.key)
    trained = {(name, key) for name, keys in usable.items() for key in layout.trained(keys)}
    for image in images:
        if image.split == "undecided":
            if image.status != OK or (image.category, image.sha256) in trained:
                image = replace(image, split="train", mask=None, mask_sha256=None, mask_reason=None)
            else:
                image = replace(image, split="test")
        yield image


def _warn_of_duplicates(images: Iterable[ImageFile]) -> Iterator[ImageFile]:
    """Say of a test image that its content is also a training image of the category."""
    images = list(images)
    trained = {
        (image.category, image.sha256): image.image_id
        for image in images
        if image.split == "train" and image.status == OK
    }
    for image in images:
        twin = trained.get((image.category, image.sha256))
        if image.split == "test" and image.status == OK and twin is not None:
            image = replace(image, warning=f"the same image is in training: {twin}")
        yield image
