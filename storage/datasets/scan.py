"""From a dataset to its manifest: every file listed, hashed, checked, and put on its side."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from storage.datasets.arrays import slice_of
from storage.datasets.dataset import (
    Dataset,
    all_categories,
    chosen_categories,
    decode_masks,
    mask_digest,
    read_content,
)
from storage.datasets.images import SUFFIXES, UnreadableImageError, decode_image
from storage.datasets.layouts.file import GOOD, File
from storage.datasets.layouts.interface import Layout
from storage.datasets.manifest import OK, ImageFile, Manifest
from storage.datasets.masks import found_threshold
from storage.datasets.tree import Tree

_BATCH = 16  # files that a thread checks in one go


def read_manifest(
    dataset: Dataset,
    categories: Sequence[str] = (),
    *,
    known: Manifest | None = None,
    verify: bool = False,
    progress: Callable[[int, int], None] | None = None,
    read: Callable[[Sequence[ImageFile]], None] | None = None,
    decoded: Callable[[str, NDArray[np.uint8]], None] | None = None,
) -> Manifest:
    """List, hash and check the files of all categories of a dataset, or of those named.

    A file whose path and stamp (`tree.py`) are those of a decoded file of `known` is not read, unless
    `verify` says so. Any other is read and hashed, and decoded unless `known` holds its content. A broken
    file is set aside with its reason and never raises. `progress` is told how many of how many are done, and
    `read` is given what was read, some files at a time: `known` with them, a later call goes on from there.
    `decoded` is given the SHA-256 and the pixels (H, W, 3) of each image that was decoded, by any thread.

    Raises:
        DatasetError: no root, no category in it, or none of that name.
    """
    tree = dataset.tree()
    every = all_categories(dataset, tree)
    names = chosen_categories(dataset, every, categories)
    files = list(dataset.layout.files(tree, dataset.name, names))
    files += _unusable_folders(tree, names, every)
    check = _Check(dataset, tree, _Known.of(known, verify=verify), decoded)
    images: list[ImageFile] = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        batches = [files[start : start + _BATCH] for start in range(0, len(files), _BATCH)]
        for found in pool.map(lambda batch: [*map(check, batch)], batches):
            if read is not None:
                read(found)
            for image in found:
                images.append(image)
                if progress is not None:
                    progress(len(images), len(files))
    finally:
        pool.shutdown(cancel_futures=True)
    judged = _judge_masks(dataset.layout, files, images)
    divided = _divide(dataset.layout, judged)
    order = sorted(_warn_of_duplicates(divided), key=lambda e: (e.category, e.split, e.image_id))
    return Manifest(dataset.name, tuple(order))


def _unusable_folders(tree: Tree, names: Sequence[str], every: Sequence[str]) -> Iterator[File]:
    """A folder that cannot be listed, in the category that its path names, or else in each of `names`."""
    for folder, reason in sorted(tree.unusable_folders.items()):
        parts = PurePosixPath(folder).parts
        for category in [name for name in every if name in parts] or names:
            if category in names:
                yield File(category, "train" if "train" in parts else "test", folder, reason=reason)


@dataclass(frozen=True)
class _Known:
    """Files that were decoded before, by path and by content."""

    by_path: Mapping[str, ImageFile]
    by_content: Mapping[str, ImageFile]

    @classmethod
    def of(cls, manifest: Manifest | None, *, verify: bool) -> _Known:
        """Those of a manifest; to verify, no path is trusted."""
        decoded = [image for image in manifest.files if image.width is not None] if manifest else []
        by_content = {image.key: image for image in decoded}
        return cls({} if verify else {image.image_id: image for image in decoded}, by_content)


@dataclass(frozen=True)
class _Check:
    """Reads one file and its masks, as far as they are not known; what is wrong becomes a reason."""

    dataset: Dataset
    tree: Tree
    known: _Known
    decoded: Callable[[str, NDArray[np.uint8]], None] | None

    def __call__(self, file: File) -> ImageFile:
        """The file as it is, its mask not judged yet."""
        image = ImageFile(
            self.dataset.name,
            file.category,
            file.split,
            file.image_id,
            anomalous=file.anomalous,
            defect=file.defect,
            sample=file.sample,
            masks=file.masks,
            stamp=self.tree.stamp(file.image_id),
        )
        reason = file.reason or self.tree.reason(file.image_id)
        if reason is not None:
            return image.set_aside(reason)
        suffix = PurePosixPath(file.image_id).suffix
        if suffix.lower() not in SUFFIXES:
            return image.set_aside(f"{suffix or 'no suffix'} is not one of {', '.join(sorted(SUFFIXES))}")
        try:
            return self._with_mask(file, self._with_content(image))
        except UnreadableImageError as error:
            return image.set_aside(f"unreadable: {error}")

    def _with_content(self, image: ImageFile) -> ImageFile:
        seen = self.known.by_path.get(image.image_id)
        if seen is None or image.stamp is None or seen.stamp != image.stamp:
            content = read_content(self.dataset, image.image_id)
            image = replace(image, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
            seen = self.known.by_content.get(image.key)
            if seen is None:
                pixels, mode = decode_image(content)
                if self.decoded is not None:
                    self.decoded(image.key, pixels)
                return replace(image, height=pixels.shape[0], width=pixels.shape[1], mode=mode)
        return replace(
            image, sha256=seen.sha256, bytes=seen.bytes, width=seen.width, height=seen.height, mode=seen.mode
        )

    def _with_mask(self, file: File, image: ImageFile) -> ImageFile:
        if not image.masks:
            return image
        sources = [(slice_of(mask) or (mask, 0))[0] for mask in image.masks]
        for reason in filter(None, map(self.tree.reason, sources)):
            return replace(image, mask_reason=f"unreadable mask: {reason}")
        stated = file.saturations
        stamps = [self.tree.stamp(source) for source in (*sources, *([stated.path] if stated else ()))]
        image = replace(image, mask_stamp=None if None in stamps else " ".join(filter(None, stamps)))
        seen = self.known.by_path.get(image.image_id)
        if (
            seen is not None
            and seen.mask_sha256 is not None
            and (seen.sha256, seen.masks) == (image.sha256, image.masks)
            and image.mask_stamp is not None
            and seen.mask_stamp == image.mask_stamp
        ):
            return replace(
                image,
                mask_sha256=seen.mask_sha256,
                mask_peak=seen.mask_peak,
                mask_saturations=seen.mask_saturations,
            )
        try:
            contents = [read_content(self.dataset, mask) for mask in image.masks]
            sha256 = mask_digest(contents)
            seen = self.known.by_content.get(image.key)
            known = seen is not None and seen.mask_sha256 == sha256 and seen.mask_peak is not None
            if seen is not None and known and stated is None:
                return replace(image, mask_sha256=sha256, mask_peak=seen.mask_peak)
            masks = decode_masks(contents)
        except UnreadableImageError as error:
            return replace(image, mask_reason=f"unreadable mask: {error}")
        if masks[0].shape != (image.height, image.width):
            size = f"{masks[0].shape[1]}x{masks[0].shape[0]}"
            reason = f"a mask of another size: {size}, image {image.width}x{image.height}"
            return replace(image, mask_reason=reason)
        return replace(
            image,
            mask_sha256=sha256,
            mask_peak=max(float(mask.max(initial=0)) for mask in masks),
            mask_saturations=() if stated is None else tuple(map(stated.share, masks)),
        )


def _judge_masks(layout: Layout, files: Sequence[File], images: Sequence[ImageFile]) -> Iterator[ImageFile]:
    """Say above which value masks are anomalous, category by category, and what that makes of each image."""
    peaks: dict[str, float] = defaultdict(float)
    for image in images:
        peaks[image.category] = max(peaks[image.category], image.mask_peak or 0)
    for file, image in zip(files, images, strict=True):
        threshold = layout.mask_threshold
        if threshold is None:
            threshold = found_threshold(peaks[image.category])
        yield _judged(file, image, threshold) if image.status == OK else image


def _judged(file: File, image: ImageFile, threshold: int) -> ImageFile:
    peak = image.mask_peak
    if file.by_mask:
        if peak is None:
            return image.set_aside(f"its mask says what it is: {image.mask_reason or 'no mask'}")
        if peak <= threshold:
            image = replace(image, anomalous=False, defect=GOOD)
    if image.anomalous and image.split == "train":
        return image.set_aside("a defect among the training images")
    if image.anomalous and image.split == "undecided":
        image = replace(image, split="test")
    if peak is None:
        lacks = image.anomalous and image.split == "test" and image.mask_reason is None
        return replace(image, mask_reason="no mask") if lacks else image
    reason = None
    if image.anomalous and peak <= threshold:
        reason = f"no pixel of the mask is above {threshold} of 255"
    elif not image.anomalous and peak > threshold:
        reason = "a normal image whose mask has anomalous pixels"
    if reason is None:
        return replace(image, mask_threshold=threshold)
    return replace(image, mask_reason=reason, mask_sha256=None, mask_threshold=threshold)


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
                image = replace(image, split="train", mask_reason=None)
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
