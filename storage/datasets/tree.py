"""The folders and files below a dataset's root, on a disk or in a bucket."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from upath import UPath

from storage.errors import DatasetError
from storage.store.location import Location

_HIDDEN = frozenset({"thumbs.db", "desktop.ini"})
_UNSETTLED = 2_000_000_000  # nanoseconds
_KINDS = {
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


class Listing(NamedTuple):
    """Names of the visible folders and files in one folder, each sorted."""

    folders: list[str]
    files: list[str]


class _Entry(NamedTuple):
    name: str
    is_folder: bool
    reason: str | None = None
    stamp: str | None = None


class Tree:
    r"""What lies below a root; a folder is listed when it is first asked for, and once.

    Paths are relative to the root, with slashes. Bytes of a name that are not UTF-8 are escaped, as in
    caf\xe9.png: what is called so is listed, and cannot be used.

    A file has a stamp: its size, time of modification and inode, or in a bucket its ETag. A file whose path
    and stamp are those of one that was read before is that file. What was modified in the 2 seconds before
    the tree was made, or lies in a bucket without ETags, has no stamp: only its content tells.

    Attributes:
        root: the folder or the bucket's URL.
        unusable_folders: path and reason of each folder that was met and cannot be listed.
    """

    def __init__(self, root: Location) -> None:
        self.root = root
        self.unusable_folders: dict[str, str] = {}
        self._listings: dict[str, Listing] = {}
        self._reasons: dict[str, str] = {}
        self._stamps: dict[str, str] = {}
        self._settled = time.time_ns() - _UNSETTLED

    def listing(self, folder: str = "") -> Listing:
        """What lies in a folder, by one request to a bucket; nothing where it is absent or cannot be listed.

        Raises:
            DatasetError: the bucket does not answer, or refuses.
        """
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
        return self._listings[folder]

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
        """
        return read_file(self.root / path)

    def _list(self, folder: str) -> Listing:
        if any(str(above) in self.unusable_folders for above in PurePosixPath(folder).parents):
            return Listing([], [])
        here = self.root / folder if folder else self.root
        try:
            entries = list(
                _in_bucket(here) if isinstance(here, UPath) else _on_disk(here, folder, self._settled)
            )
        except (FileNotFoundError, NotADirectoryError):
            return Listing([], [])
        except Exception as error:  # file systems of buckets raise what they like
            if isinstance(here, UPath):
                raise DatasetError(f"the dataset at {self.root} cannot be read ({error})") from error
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.unusable_folders[folder] = f"a folder that cannot be read: {reason}"
            return Listing([], [])
        prefix = f"{folder}/" if folder else ""
        for entry in entries:
            path = prefix + entry.name
            if entry.reason is not None:
                (self.unusable_folders if entry.is_folder else self._reasons)[path] = entry.reason
            elif entry.stamp is not None:
                self._stamps[path] = entry.stamp
        return Listing(
            sorted(entry.name for entry in entries if entry.is_folder and entry.reason is None),
            sorted(entry.name for entry in entries if not entry.is_folder),
        )


def read_file(path: Location, start: int | None = None, end: int | None = None) -> bytes:
    """The content of a file, or its bytes from `start` to `end`; no pipe is waited for.

    Raises:
        OSError: there is none, it cannot be read, or it is no regular file.
    """
    if isinstance(path, UPath):
        content: bytes = path.fs.cat_file(path.path, start, end)
        return content
    with open(path, "rb", opener=_open_regular) as file:
        file.seek(start or 0)
        return file.read(-1 if end is None else end - (start or 0))


def _open_regular(name: str, flags: int) -> int:
    descriptor = os.open(name, flags | os.O_NONBLOCK)  # else a pipe is waited for
    if stat.S_IFMT(os.fstat(descriptor).st_mode) in _KINDS:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", name)
    return descriptor


def shown(name: str) -> str:
    """A name with its bytes that are not UTF-8 as escapes: it can be printed and kept in a table."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _HIDDEN


def _on_disk(here: Path, folder: str, settled: int) -> Iterator[_Entry]:
    @cache
    def above() -> set[tuple[int, int]]:
        folders = (here, *here.parents[: len(PurePosixPath(folder).parts)])
        return {(found.st_dev, found.st_ino) for found in map(os.stat, folders)}

    with os.scandir(here) as entries:
        for entry in filter(lambda entry: _is_visible(entry.name), entries):
            name = shown(entry.name)
            try:
                found = entry.stat()
            except OSError as error:
                yield _Entry(name, False, _unreadable(entry, error))
                continue
            is_folder, reason = stat.S_ISDIR(found.st_mode), _KINDS.get(stat.S_IFMT(found.st_mode))
            if name != entry.name:
                reason = "the name is not UTF-8: rename it"
            elif is_folder and entry.is_symlink() and (found.st_dev, found.st_ino) in above():
                reason = "a symbolic link to a folder that it lies in"
            stamp = f"{found.st_size}-{found.st_mtime_ns}-{found.st_ino}"
            yield _Entry(name, is_folder, reason, stamp if found.st_mtime_ns < settled else None)


def _unreadable(entry: os.DirEntry[str], error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link that leads back to itself"
    if error.errno == errno.ENOENT and entry.is_symlink():
        return f"a symbolic link to nothing: {shown(os.readlink(entry.path))}"
    return f"unreadable: {error.strerror}"


def _in_bucket(here: UPath) -> Iterator[_Entry]:
    own = here.path.rstrip("/")
    for info in here.fs.ls(here.path, detail=True):
        path = str(info["name"]).rstrip("/")
        name = path.rsplit("/", 1)[-1]
        if path != own and _is_visible(name):
            yield _Entry(name, info["type"] == "directory", stamp=info.get("ETag"))
