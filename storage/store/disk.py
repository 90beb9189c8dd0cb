"""Files on a disk of this machine."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from storage.store.medium import Answer, Asked, Entry, Size, shown

if TYPE_CHECKING:
    from zarr.storage import StorePath

_SYNCS = 8  # at the same time
_UNSETTLED = 2_000_000_000  # nanoseconds
_KINDS = {
    stat.S_IFIFO: "a pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}


class Disk:
    """Writes a temporary file and renames it; all is synced before a name shows it."""

    def text(self, path: PurePosixPath) -> str:
        """The path itself."""
        return str(path)

    def uri(self, path: PurePosixPath) -> str:
        """The URL of a file."""
        return Path(path).as_uri()

    def is_file(self, path: PurePosixPath) -> bool:
        """Whether a file is there."""
        return Path(path).is_file()

    def is_folder(self, path: PurePosixPath) -> bool:
        """Whether a folder is there."""
        return Path(path).is_dir()

    def entries(self, folder: PurePosixPath) -> list[Entry]:
        """What lies in a folder; a pipe or a link in a circle cannot be used.

        A file that was modified less than 2 seconds ago has no stamp: its next change may bear the same time.
        """
        settled = time.time_ns() - _UNSETTLED

        @cache
        def above() -> set[tuple[int, int]]:
            folders = map(os.stat, (folder, *folder.parents))
            return {(found.st_dev, found.st_ino) for found in folders}

        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as found:
            return [_entry(each, above, settled) for each in found]
        return []

    def below(self, folder: PurePosixPath) -> None:
        """None: each folder is listed on its own."""

    def sizes(self, folder: PurePosixPath) -> dict[PurePosixPath, Size]:
        """Every file below a folder; what goes meanwhile is left out."""
        found: dict[PurePosixPath, Size] = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found |= self.sizes(folder / entry.name)
                    continue
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found[folder / entry.name] = Size(status.st_size, status.st_mtime)
        return found

    def stamp(self, path: PurePosixPath) -> str:
        """Size, time of modification and inode."""
        return _stamp(os.stat(path))

    def holding(self, folder: PurePosixPath, name: str) -> list[str]:
        """The entries of a folder that hold a file of that name."""
        return [entry.name for entry in self.entries(folder) if self.is_file(folder / entry.name / name)]

    def read_all(self, paths: Sequence[PurePosixPath]) -> list[bytes]:
        """The contents of files."""
        contents = []
        for path in paths:
            with open(path, "rb", opener=_open_regular) as file:
                contents.append(file.read())
        return contents

    def read_part(self, path: PurePosixPath, start: int, length: int) -> bytes:
        """Bytes of a file."""
        with open(path, "rb", opener=_open_regular) as file:
            file.seek(start)
            return file.read(length)

    def write_all(self, contents: Mapping[PurePosixPath, bytes], *, lasting: bool = True) -> None:
        """Write and sync temporary files, rename them, then sync the folders that have new names."""
        changed = {folder for path in contents for folder in _make_folders(Path(path).parent)}
        temporary = {path: path.with_name(f".{path.name}.{secrets.token_hex(4)}") for path in contents}
        try:
            _together(_write, [(temporary[path], content, lasting) for path, content in contents.items()])
            for path, written in temporary.items():
                os.replace(written, path)
        except BaseException:
            for written in temporary.values():
                Path(written).unlink(missing_ok=True)
            raise
        if lasting:
            _together(_sync_folder, [(folder,) for folder in changed])

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        """Remove files and folders, one after the other; of a link only the link."""
        for path in map(Path, paths):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                try:
                    path.unlink()
                except FileNotFoundError:
                    continue
            _sync_folder(path.parent)

    def discard(self, paths: Sequence[PurePosixPath]) -> None:
        """Remove files, then sync the folders they were in."""
        folders = set()
        for path in map(Path, paths):
            with suppress(FileNotFoundError):
                path.unlink()
                folders.add(path.parent)
        _together(_sync_folder, [(folder,) for folder in folders])

    def obstacle(self, path: PurePosixPath) -> str | None:
        """What of the path is there and is no folder that can be written."""
        above = next(each for each in (Path(path), *Path(path).parents) if each.exists())
        writable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
        return None if writable else f"{above} is not a folder that can be written"

    def arrays(self, folder: PurePosixPath) -> StorePath:
        """A folder as zarr reads it."""
        from zarr.storage import LocalStore, StorePath

        return StorePath(LocalStore(Path(folder), read_only=True))

    def at_once(self, ask: Callable[[Asked], Answer], asked: Sequence[Asked]) -> list[Answer]:
        """One after the other: a disk is not quicker for threads, which share one interpreter."""
        return [ask(each) for each in asked]

    @contextmanager
    def hold(self, path: PurePosixPath, *, wait: bool) -> Iterator[bool]:
        """Hold a lock that the operating system frees when its process dies."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(path).acquire(timeout=-1 if wait else 0)
        except Timeout:
            yield False
            return
        with held:
            yield True


def _entry(found: os.DirEntry[str], above: Callable[[], set[tuple[int, int]]], settled: int) -> Entry:
    try:
        status = found.stat()
    except OSError as error:
        return Entry(found.name, False, _unreadable(found, error))
    if not stat.S_ISDIR(status.st_mode):
        stamp = _stamp(status) if status.st_mtime_ns < settled else None
        return Entry(found.name, False, _KINDS.get(stat.S_IFMT(status.st_mode)), stamp)
    circular = found.is_symlink() and (status.st_dev, status.st_ino) in above()
    return Entry(found.name, True, "a symbolic link to a folder that it lies in" if circular else None)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}"


def _unreadable(found: os.DirEntry[str], error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link that leads back to itself"
    if error.errno == errno.ENOENT and found.is_symlink():
        return f"a symbolic link to nothing: {shown(os.readlink(found.path))}"
    return f"unreadable: {error.strerror}"


def _open_regular(name: str, flags: int) -> int:
    opened = os.open(name, flags | os.O_NONBLOCK)  # else a pipe is waited for
    if stat.S_IFMT(os.fstat(opened).st_mode) in _KINDS:
        os.close(opened)
        raise OSError(errno.EINVAL, "it is no regular file", name)
    return opened


def _make_folders(folder: Path) -> list[Path]:
    """Make a folder and those above it where they lack; those with a name more, with `folder` itself."""
    changed = [folder]
    while not folder.exists():
        folder = folder.parent
        changed.append(folder)
    changed[0].mkdir(parents=True, exist_ok=True)
    return changed


def _together(call: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
    """Call it for each: what is synced at the same time goes to the disk at one stroke."""
    if len(arguments) < 2:
        for each in arguments:
            call(*each)
        return
    with ThreadPoolExecutor(_SYNCS) as pool:
        list(pool.map(lambda each: call(*each), arguments))


def _write(path: PurePosixPath, content: bytes, lasting: bool) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        if lasting:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a network's file system that syncs no folders
            raise
    finally:
        os.close(opened)
