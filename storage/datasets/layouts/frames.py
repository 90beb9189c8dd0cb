"""The layout of ShanghaiTech Campus: videos as folders of frames, labels and masks as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from storage.datasets.arrays import decode_array, slice_name
from storage.datasets.images import SUFFIXES
from storage.datasets.layouts.file import GOOD, File
from storage.datasets.layouts.interface import Layout
from storage.datasets.tree import Tree
from storage.errors import DatasetError


@dataclass(frozen=True)
class Frames(Layout):
    """Videos of one category; frames are counted from 0 in the order of their names, shorter ones first.

    training/frames/VIDEO/NAME.jpg             normal
    testing/frames/VIDEO/NAME.jpg
    testing/test_frame_mask/VIDEO.npy          (T,) not 0 where a frame is anomalous
    testing/test_pixel_mask/VIDEO.npy          (T, H, W) not 0 where a pixel is; a video may have none

    Attributes:
        train: folder of the training videos.
        test: folder of the test videos.
        labels: folder of the frame labels.
        masks: folder of the pixel masks; a video may have none.
        train_number: about how many training frames are used, spread evenly over all.
        test_step: every how many frames of a test video one is used.
        category: name of the category; None for the dataset's.
    """

    train: str = "training/frames"
    test: str = "testing/frames"
    labels: str = "testing/test_frame_mask"
    masks: str = "testing/test_pixel_mask"
    train_number: int = 5000
    test_step: int = 5
    category: str | None = None
    kind: Literal["frames"] = "frames"
    mask_threshold: int | None = field(default=0, kw_only=True)  # arrays: every value but 0 counts

    @classmethod
    def recognises(cls, tree: Tree) -> bool:
        """Whether there are videos where this layout looks for them, to train and to test."""
        return all(tree.listing(folder).folders for folder in (cls.train, cls.test))

    def __post_init__(self) -> None:
        """Check each setting; DatasetError names the first that is wrong."""
        super().__post_init__()
        for name in ("train_number", "test_step"):
            if getattr(self, name) < 1:
                raise DatasetError(f"{name} is {getattr(self, name)}: it is a whole number, 1 or more")

    def categories(self, tree: Tree, name: str) -> list[str]:
        """The name of the one category."""
        for folder in (self.train, self.test):
            if not tree.listing(folder).folders:
                raise DatasetError(f"no video under {tree.root / folder}: expected VIDEO/NAME.jpg there")
        return [self.category or name]

    def files(self, tree: Tree, name: str, categories: Sequence[str]) -> Iterator[File]:  # noqa: ARG002
        """The frames that are used; a test video whose labels cannot be used is set aside."""
        category = self.category or name
        frames = [
            f"{self.train}/{video}/{frame}"
            for video in tree.listing(self.train).folders
            for frame in _frames(tree, f"{self.train}/{video}")
        ]
        for position in range(used := min(self.train_number, len(frames))):
            yield File(category, "train", frames[position * len(frames) // used])
        masks = set(tree.listing(self.masks).files)
        for video in tree.listing(self.test).folders:
            yield from self._test_files(tree, category, video, has_mask=f"{video}.npy" in masks)

    def _test_files(self, tree: Tree, category: str, video: str, *, has_mask: bool) -> Iterator[File]:
        frames = _frames(tree, f"{self.test}/{video}")
        path = f"{self.labels}/{video}.npy"
        reason, labels = None, [0] * len(frames)
        try:
            labels = decode_array(tree.read(path)).ravel().tolist()
        except (OSError, ValueError) as error:
            reason = f"the labels cannot be read: {path}: {error}"
        if len(labels) != len(frames):
            reason = f"not a label a frame: {path} has {len(labels)}, the video {len(frames)} frames"
        for number in range(0, len(frames), self.test_step):
            image_id = f"{self.test}/{video}/{frames[number]}"
            defect = "anomalous" if reason is None and labels[number] else GOOD
            masks = (slice_name(f"{self.masks}/{video}.npy", number),) if has_mask else ()
            yield File(category, "test", image_id, defect, masks, reason=reason)


def _frames(tree: Tree, folder: str) -> list[str]:
    """Images of a video, in the order of time: 9.jpg before 10.jpg."""
    names = [name for name in tree.listing(folder).files if PurePosixPath(name).suffix.lower() in SUFFIXES]
    return sorted(names, key=lambda name: (len(PurePosixPath(name).stem), name))
