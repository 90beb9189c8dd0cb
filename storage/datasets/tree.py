"""The folders and files below a dataset's root, on a disk or in a bucket."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import PurePosixPath
from typing import NamedTuple

from storage.errors import DatasetError, StoreError
from storage.store.location import location, read_bytes
from storage.store.medium import Entry, shown

_HIDDEN = frozenset({"thumbs.db", "desktop.ini", "__macosx"})


class Listing(NamedTuple):
    """Names of the visible folders and files in one folder, each sorted."""

    folders: list[str]
    files: list[str]


class Tree:
    r"""What lies below a root; a folder is listed when it is first asked for, and once.

    Paths are relative to the root, with slashes. Bytes of a name that are not UTF-8 are escaped, as in
    caf\xe9.png: what is called so is listed, and cannot be used.

    A file has a stamp: its size, time of modification and inode, or in a bucket its ETag. A file whose path
    and stamp are those of one that was read before is that file. What was modified in the 2 seconds before
    it was listed, or lies in a bucket without ETags, has no stamp: only its content tells.

    Attributes:
        root: the folder or the bucket's URL.
        unusable_folders: path and reason of each folder that was met and cannot be listed.
    """

    def __init__(self, root: str | PathLike[str]) -> None:
        self.root = location(root)
        self.unusable_folders: dict[str, str] = {}
        self._listings: dict[str, Listing] = {}
        self._reasons: dict[str, str] = {}
        self._stamps: dict[str, str] = {}

    def listing(self, folder: str = "") -> Listing:
        """What lies in a folder, by one listing of a bucket; nothing where it is absent or cannot be listed.

        Raises:
            DatasetError: the bucket does not answer, or refuses.
        """
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
        return self._listings[folder]

    def gather(self, folder: str) -> None:
        """List a folder and all below it at once, where that costs less than to list each of many.

        Raises:
            DatasetError: the bucket does not answer, or refuses.
        """
        here = self.root / folder
        try:
            found = here.medium.below(here.path) or {}
        except StoreError as error:
            raise DatasetError(f"the dataset at {self.root} cannot be read ({error})") from error
        for inner, entries in found.items():
            path = "/".join(part for part in (folder, inner) if part)
            self._listings[path] = self._visible(path, entries)

    def reason(self, path: str) -> str | None:
        """Why a file cannot be used as it was found, or None."""
        self.listing(path.rpartition("/")[0])
        return self._reasons.get(path)

    def stamp(self, path: str) -> str | None:
        """What tells without reading whether a file is the same as before; None: only its content does."""
        self.listing(path.rpartition("/")[0])
        return self._stamps.get(path)

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            OSError: there is none, or it cannot be read.
            UnreachableStoreError: the bucket does not answer, or refuses.
        """
        return read_bytes(self.root / path)

    def _list(self, folder: str) -> Listing:
        if any(str(above) in self.unusable_folders for above in PurePosixPath(folder).parents):
            return Listing([], [])
        here = self.root / folder
        try:
            entries = here.medium.entries(here.path)
        except StoreError as error:
            raise DatasetError(f"the dataset at {self.root} cannot be read ({error})") from error
        except OSError as error:
            self.unusable_folders[folder] = f"a folder that cannot be read: {error.strerror}"
            return Listing([], [])
        return self._visible(folder, entries)

    def _visible(self, folder: str, entries: Iterable[Entry]) -> Listing:
        folders, files = [], []
        for entry in entries:
            if not _is_visible(entry.name):
                continue
            name, reason = shown(entry.name), entry.reason
            if name != entry.name:
                reason = "the name is not UTF-8: rename it"
            path = f"{folder}/{name}" if folder else name
            if reason is not None:
                (self.unusable_folders if entry.is_folder else self._reasons)[path] = reason
            elif entry.stamp is not None:
                self._stamps[path] = entry.stamp
            if not entry.is_folder:
                files.append(name)
            elif reason is None:
                folders.append(name)
        return Listing(sorted(folders), sorted(files))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _HIDDEN
