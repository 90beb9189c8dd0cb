"""The manifest of a dataset: its files as they were found, hashed, checked and put on their side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa

from storage.errors import DatasetError
from storage.results.schemas import MANIFEST
from storage.store.store import Store, digest
from storage.store.tables import read_table, table_of

OK = "ok"
SET_ASIDE = "set aside"
SCORED_SPLITS = ("test", "validation", "unlabelled")


@dataclass(frozen=True)
class ImageFile:
    """One file of a dataset: an image, or a mask that no image claims (split "ground_truth").

    `image_id` and `masks` are paths below the root. `anomalous` is None where there is no label, and `sample`
    where images are no views of a piece. `stamp` and `mask_stamp` tell without reading whether a file is the
    one that was read (`tree.py`). `mask_peak` is the highest value of the masks on the scale of 0 to 255,
    `mask_threshold` that above which a pixel is anomalous. `mask_saturations` has for each mask the share of
    its defect that has to be found for all of it to count, None where none is stated; it is empty where the
    dataset states none at all. `mask_reason` says why an anomalous image has no usable mask; `reason` why the
    file is set aside; `warning` what is odd about a file that is used: in each, what a colon and a blank
    precede is of this file alone.
    """

    dataset: str
    category: str
    split: str
    image_id: str
    sha256: str | None = None
    stamp: str | None = field(default=None, compare=False)
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    anomalous: bool | None = False
    defect: str = "good"
    sample: str | None = None
    masks: tuple[str, ...] = ()
    mask_sha256: str | None = None
    mask_stamp: str | None = field(default=None, compare=False)
    mask_peak: float | None = None
    mask_threshold: int | None = None
    mask_saturations: tuple[float | None, ...] = ()
    mask_reason: str | None = None
    status: str = OK
    reason: str | None = None
    warning: str | None = None

    def __post_init__(self) -> None:
        """Take the lists that a table gives for the tuples that they were."""
        object.__setattr__(self, "masks", tuple(self.masks))
        object.__setattr__(self, "mask_saturations", tuple(self.mask_saturations))

    @property
    def key(self) -> str:
        """The SHA-256 of the image."""
        if self.sha256 is None:
            raise ValueError(f"{self.image_id} was set aside: {self.reason}")
        return self.sha256

    @property
    def mask_key(self) -> str:
        """What determines the mask: its files, the threshold, saturations; empty without a usable mask."""
        if self.mask_sha256 is None:
            return ""
        stated = f" saturated at {[*self.mask_saturations]}" if self.mask_saturations else ""
        return f"{self.mask_sha256} > {self.mask_threshold}{stated}"

    def set_aside(self, reason: str) -> ImageFile:
        """The same file, not to be used."""
        return replace(self, status=SET_ASIDE, reason=reason)


@dataclass(frozen=True)
class Manifest:
    """The files of a dataset, sorted by category, split and image_id."""

    dataset: str
    files: tuple[ImageFile, ...]

    @classmethod
    def from_table(cls, table: pa.Table) -> Manifest:
        """A manifest from a table of MANIFEST."""
        files = tuple(ImageFile(**row) for row in table.to_pylist())
        return cls(files[0].dataset if files else "", files)

    def table(self) -> pa.Table:
        """The manifest as a table of MANIFEST."""
        return table_of((asdict(image) for image in self.files), MANIFEST)

    def without_stamps(self) -> Manifest:
        """The manifest as content alone determines it: of a copied dataset it is the same."""
        return Manifest(
            self.dataset, tuple(replace(file, stamp=None, mask_stamp=None) for file in self.files)
        )

    def categories(self) -> list[str]:
        """Names of the categories, sorted."""
        return sorted({image.category for image in self.files})

    def of(self, category: str) -> Manifest:
        """The files of one category."""
        return self.only([category])

    def only(self, categories: Sequence[str]) -> Manifest:
        """The files of these categories."""
        return Manifest(self.dataset, tuple(image for image in self.files if image.category in categories))

    def train(self) -> list[ImageFile]:
        """Usable training images by SHA-256: the order of the index, whatever the files are called."""
        found = [image for image in self.files if image.split == "train" and image.status == OK]
        return sorted(found, key=lambda image: (image.key, image.image_id))

    def test(self) -> list[ImageFile]:
        """Usable test images with a label, by image_id."""
        return [image for image in self.files if image.split == "test" and image.status == OK]

    def validation(self) -> list[ImageFile]:
        """Usable normal images that are neither trained with nor tested, by image_id."""
        return [image for image in self.files if image.split == "validation" and image.status == OK]

    def unlabelled(self) -> list[ImageFile]:
        """Usable images to score of which nobody says what they are, by image_id."""
        return [image for image in self.files if image.split == "unlabelled" and image.status == OK]

    def tested(self) -> list[ImageFile]:
        """Usable test images, those without a label last."""
        return [*self.test(), *self.unlabelled()]

    def scored(self) -> list[ImageFile]:
        """Usable images to score: to test, and to validate."""
        return [*self.tested(), *self.validation()]

    def used(self) -> list[ImageFile]:
        """All usable images: those to train with, and those to score."""
        return [*self.train(), *self.scored()]

    def excluded(self) -> list[ImageFile]:
        """What is set aside."""
        return [image for image in self.files if image.status != OK]

    def exclude(self, reasons: dict[str, str]) -> Manifest:
        """The manifest with the images of these ids set aside for these reasons."""
        return Manifest(
            self.dataset,
            tuple(
                image.set_aside(reasons[image.image_id]) if image.image_id in reasons else image
                for image in self.files
            ),
        )

    def keep(self, keys: Collection[str]) -> Manifest:
        """The files of these keys alone."""
        return Manifest(self.dataset, tuple(file for file in self.files if file.key in keys))

    def held_out(self, keys: Collection[str]) -> Manifest:
        """The training images alone, those of these keys as test images."""
        return Manifest(
            self.dataset,
            tuple(replace(each, split="test" if each.key in keys else "train") for each in self.train()),
        )

    def check(self) -> None:
        """Raise DatasetError if a category cannot be evaluated at all."""
        name = ", ".join(self.categories())
        if not self.train():
            raise DatasetError(
                f"no usable training image: put normal images into {name}/train/good, "
                "or where the dataset's layout looks for them"
            )
        if not self.tested():
            raise DatasetError(
                f"no usable test image: put some into {name}/test/good and {name}/test/DEFECT, "
                "or where the dataset's layout looks for them"
            )

    def digest(self) -> str:
        """Digest of the contents and labels of what is used; names of files do not matter."""
        return digest(
            sorted(
                [image.category, image.split, image.key, image.defect, image.mask_key, image.sample or ""]
                for image in self.files
                if image.status == OK
            )
        )


def last_manifest(store: Store, dataset: str) -> Manifest | None:
    """The manifest that the last run on a dataset of this name wrote, or None."""
    try:
        return Manifest.from_table(read_table(store.manifest(dataset)))
    except (OSError, pa.ArrowException, TypeError):
        return None
