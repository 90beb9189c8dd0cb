"""Datasets in the MVTec AD layout, and the manifest of what they hold.

ROOT/CATEGORY/train/good/NAME.png
ROOT/CATEGORY/test/good|DEFECT/NAME.png
ROOT/CATEGORY/ground_truth/DEFECT/NAME_mask.png
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.errors import DatasetError
from storage.images import SUFFIXES, UnreadableImageError, decode_image, decode_mask
from storage.layout import Store, digest
from storage.tables import read_table, table_of

OK = "ok"
SET_ASIDE = "set aside"
_HIDDEN = frozenset({"thumbs.db", "desktop.ini"})

MANIFEST_SCHEMA = pa.schema(
    [
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("bytes", pa.int64()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("mode", pa.string()),
        pa.field("anomalous", pa.bool_(), nullable=False),
        pa.field("defect", pa.string(), nullable=False),
        pa.field("mask", pa.string()),
        pa.field("mask_sha256", pa.string()),
        pa.field("mask_reason", pa.string()),
        pa.field("status", pa.string(), nullable=False),
        pa.field("reason", pa.string()),
        pa.field("warning", pa.string()),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One file of a dataset: an image, or a mask that no image claims (split "ground_truth").

    `image_id` and `mask` are paths below the root. `mask_reason` says why an anomalous image has no usable
    mask; `reason` why the file is set aside; `warning` what is odd about a file that is used.
    """

    dataset: str
    category: str
    split: str
    image_id: str
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    anomalous: bool = False
    defect: str = "good"
    mask: str | None = None
    mask_sha256: str | None = None
    mask_reason: str | None = None
    status: str = OK
    reason: str | None = None
    warning: str | None = None

    @property
    def key(self) -> str:
        """The SHA-256 of the image."""
        if self.sha256 is None:
            raise ValueError(f"{self.image_id} was set aside: {self.reason}")
        return self.sha256

    def set_aside(self, reason: str) -> Entry:
        """The same file, not to be used."""
        return replace(self, status=SET_ASIDE, reason=reason)


@dataclass(frozen=True)
class Manifest:
    """The files of a dataset, sorted by category, split and image_id."""

    dataset: str
    entries: tuple[Entry, ...]

    @classmethod
    def from_table(cls, table: pa.Table) -> Manifest:
        """A manifest from a table of MANIFEST_SCHEMA."""
        entries = tuple(Entry(**row) for row in table.to_pylist())
        return cls(entries[0].dataset if entries else "", entries)

    def table(self) -> pa.Table:
        """The manifest as a table of MANIFEST_SCHEMA."""
        return table_of((asdict(entry) for entry in self.entries), MANIFEST_SCHEMA)

    def categories(self) -> list[str]:
        """Names of the categories, sorted."""
        return sorted({entry.category for entry in self.entries})

    def of(self, category: str) -> Manifest:
        """The files of one category."""
        return Manifest(self.dataset, tuple(entry for entry in self.entries if entry.category == category))

    def train(self) -> list[Entry]:
        """Usable training images by SHA-256: the order of the index, whatever the files are called."""
        found = [entry for entry in self.entries if entry.split == "train" and entry.status == OK]
        return sorted(found, key=lambda entry: (entry.key, entry.image_id))

    def test(self) -> list[Entry]:
        """Usable test images by image_id."""
        return [entry for entry in self.entries if entry.split == "test" and entry.status == OK]

    def excluded(self) -> list[Entry]:
        """What is set aside."""
        return [entry for entry in self.entries if entry.status != OK]

    def exclude(self, reasons: dict[str, str]) -> Manifest:
        """The manifest with the images of these ids set aside for these reasons."""
        return Manifest(
            self.dataset,
            tuple(
                entry.set_aside(reasons[entry.image_id]) if entry.image_id in reasons else entry
                for entry in self.entries
            ),
        )

    def check(self) -> None:
        """Raise DatasetError if a category cannot be evaluated at all."""
        name = ", ".join(self.categories())
        if not self.train():
            raise DatasetError(f"no usable training image: put normal images into {name}/train/good")
        if not self.test():
            raise DatasetError(f"no usable test image: put some into {name}/test/good and {name}/test/DEFECT")

    def digest(self) -> str:
        """Digest of the contents and labels of what is used; names of files do not matter."""
        return digest(
            sorted(
                [entry.category, entry.split, entry.key, entry.defect, entry.mask_sha256 or ""]
                for entry in self.entries
                if entry.status == OK
            )
        )


def read_manifest(
    root: str | Path,
    categories: Sequence[str] = (),
    *,
    known: Manifest | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """List, hash and check the files of all categories under `root`, or of those named.

    Every image and mask is decoded once, unless `known` holds the same content. A broken file is set aside
    with its reason and never raises.

    Raises:
        DatasetError: no root, no category in it, or none of that name.
    """
    root = dataset_root(root)
    names = find_categories(root, categories)
    files = [entry for name in names for entry in _list_category(root, name)]
    facts = {entry.sha256: entry for entry in known.entries if entry.status == OK} if known else {}
    entries = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, entry in enumerate(pool.map(lambda entry: _check(root, entry, facts), files), start=1):
            entries.append(entry)
            if progress is not None:
                progress(done, len(files))
    order = sorted(_warn_of_duplicates(entries), key=lambda e: (e.category, e.split, e.image_id))
    return Manifest(root.name, tuple(order))


def last_manifest(store: Store, dataset: str) -> Manifest | None:
    """The manifest that the last run on a dataset of this name wrote, or None."""
    try:
        return Manifest.from_table(read_table(store.manifest(dataset)))
    except (OSError, pa.ArrowException, TypeError):
        return None


def dataset_root(root: str | Path) -> Path:
    """The folder of a dataset, spelled so that its last part is its name."""
    return Path(os.path.normpath(Path(root).expanduser().absolute()))


def find_categories(root: Path, wanted: Sequence[str] = ()) -> list[str]:
    """Names of the folders under `root` that have a train or a test folder: all, or those `wanted`.

    Raises:
        DatasetError: no such root, no category in it, or none of a name that is wanted.
    """
    if not root.is_dir():
        raise DatasetError(f"no dataset at {root}: {'it is a file' if root.exists() else 'no such folder'}")
    names = sorted(path.name for path in _folders(root) if _is_category(path))
    if not names and _is_category(root):
        raise DatasetError(f"{root} is one category: name its parent folder and `--category '{root.name}'`")
    if not names:
        raise DatasetError(f"no category under {root}: expected CATEGORY/train/good and CATEGORY/test/DEFECT")
    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names) or names
            raise DatasetError(f"no category {name!r} under {root}: did you mean {', '.join(near)}?")
    return sorted(set(wanted)) or names


def read_image(root: str | Path, entry: Entry) -> NDArray[np.uint8]:
    """The image (H, W, 3) uint8 of a manifest's entry.

    Raises:
        UnreadableImageError: the file is gone or is not what the manifest saw.
    """
    content = _content(Path(root), entry.image_id, entry.key)
    return decode_image(content)[0]


def read_mask(root: str | Path, entry: Entry) -> NDArray[np.bool_]:
    """The mask (H, W) of an entry with a usable one.

    Raises:
        UnreadableImageError: the file is gone or is not what the manifest saw.
    """
    if entry.mask is None or entry.mask_sha256 is None:
        raise ValueError(f"{entry.image_id} has no mask")
    return decode_mask(_content(Path(root), entry.mask, entry.mask_sha256))


def _content(root: Path, name: str, sha256: str) -> bytes:
    try:
        content = (root / name).read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"{name}: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UnreadableImageError(f"{name} changed during the run")
    return content


def _is_category(folder: Path) -> bool:
    return (folder / "train").is_dir() or (folder / "test").is_dir()


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if (path.is_file() or path.is_symlink())
        and not path.name.startswith(".")
        and path.name.lower() not in _HIDDEN
    )


def _list_category(root: Path, category: str) -> Iterator[Entry]:
    """Every file of a category, unread; a mask is joined to its image by name."""
    base = root / category
    drawn = [path for folder in _folders(base / "ground_truth") for path in _files(folder)]
    masks: dict[tuple[str, str], Path] = {}
    for path in drawn:
        if path.suffix.lower() in SUFFIXES:
            masks.setdefault((path.parent.name, path.stem.removesuffix("_mask")), path)
    claimed = set()
    empty = True
    for split in ("train", "test"):
        for folder in _folders(base / split):
            for path in _files(folder):
                empty = False
                entry = Entry(
                    dataset=root.name,
                    category=category,
                    split=split,
                    image_id=os.fsencode(path.relative_to(root)).decode(errors="backslashreplace"),
                    anomalous=folder.name != "good",
                    defect=folder.name,
                )
                if split == "train" and entry.anomalous:
                    yield entry.set_aside("training images are read from train/good alone")
                    continue
                mask = masks.get((folder.name, path.stem)) if split == "test" else None
                if mask is not None:
                    claimed.add(mask)
                    entry = replace(entry, mask=mask.relative_to(root).as_posix())
                yield entry
    if empty:
        yield Entry(root.name, category, "train", category).set_aside("no file in train or test")
    for mask in sorted(set(drawn) - claimed):
        yield Entry(
            dataset=root.name,
            category=category,
            split="ground_truth",
            image_id=mask.relative_to(root).as_posix(),
            anomalous=mask.parent.name != "good",
            defect=mask.parent.name,
        ).set_aside(f"a mask without an image test/{mask.parent.name}/{mask.stem.removesuffix('_mask')}")


def _check(root: Path, entry: Entry, facts: dict[str | None, Entry]) -> Entry:
    """Hash and decode one file; what is wrong with it becomes its reason."""
    if entry.status != OK:
        return entry
    path = root / entry.image_id
    if path.suffix.lower() not in SUFFIXES:
        return entry.set_aside(f"{path.suffix or 'no suffix'} is not one of {', '.join(sorted(SUFFIXES))}")
    try:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        entry = replace(entry, sha256=sha256, bytes=len(content))
        if sha256 in facts:
            seen = facts[sha256]
            entry = replace(entry, width=seen.width, height=seen.height, mode=seen.mode)
        else:
            image, mode = decode_image(content)
            entry = replace(entry, height=image.shape[0], width=image.shape[1], mode=mode)
    except (OSError, UnreadableImageError) as error:
        return entry.set_aside(f"unreadable: {error}")
    return _check_mask(root, entry, facts)


def _check_mask(root: Path, entry: Entry, facts: dict[str | None, Entry]) -> Entry:
    if entry.mask is None:
        return replace(entry, mask_reason="no mask") if entry.anomalous and entry.split == "test" else entry
    try:
        content = (root / entry.mask).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        seen = facts.get(entry.sha256)
        if seen is not None and seen.mask_sha256 == sha256 and seen.anomalous == entry.anomalous:
            return replace(entry, mask_sha256=sha256)
        mask = decode_mask(content)
    except (OSError, UnreadableImageError) as error:
        return replace(entry, mask_reason=f"unreadable mask: {error}")
    if mask.shape != (entry.height, entry.width):
        size = f"{mask.shape[1]}x{mask.shape[0]}"
        return replace(entry, mask_reason=f"mask of {size}, image of {entry.width}x{entry.height}")
    if entry.anomalous and not mask.any():
        return replace(entry, mask_reason="no pixel of the mask is above half scale")
    if not entry.anomalous and mask.any():
        return replace(entry, mask_reason="a normal image whose mask has anomalous pixels")
    return replace(entry, mask_sha256=sha256)


def _warn_of_duplicates(entries: Iterable[Entry]) -> Iterator[Entry]:
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
