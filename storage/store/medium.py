"""The one interface to files; a disk (`disk.py`) and a bucket (`bucket.py`) are behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from zarr.storage import StorePath

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Entry(NamedTuple):
    """What lies in a folder.

    `reason` says why it cannot be used. `stamp` is another as soon as the content of a file is another; None
    where only the content tells.
    """

    name: str
    is_folder: bool
    reason: str | None = None
    stamp: str | None = None


def shown(name: str) -> str:
    """A name with its bytes that are not UTF-8 as escapes: it can be printed and kept in a table."""
    return os.fsencode(name).decode(errors="backslashreplace")


class Size(NamedTuple):
    """How large a file is, and when it was last written, in seconds since 1970."""

    bytes: int
    modified: float


class Medium(Protocol):
    """Holds files under paths; a folder is there while it holds a file, and on a disk also when it is empty.

    What is absent is a FileNotFoundError, and any other trouble of a disk an OSError. A bucket that does not
    answer, or refuses, is an UnreachableStoreError.
    """

    def text(self, path: PurePosixPath) -> str:
        """The path as a user names it."""

    def uri(self, path: PurePosixPath) -> str:
        """The path as a browser opens it."""

    def is_file(self, path: PurePosixPath) -> bool:
        """Whether a file is there."""

    def is_folder(self, path: PurePosixPath) -> bool:
        """Whether a folder is there."""

    def entries(self, folder: PurePosixPath) -> list[Entry]:
        """What lies in a folder, hidden or not, in no order; nothing if it is absent or a file."""

    def below(self, folder: PurePosixPath) -> Mapping[str, list[Entry]] | None:
        """What lies in a folder and in each below it, by its path from there, where that costs one listing.

        None where each folder is listed on its own.
        """

    def sizes(self, folder: PurePosixPath) -> Mapping[PurePosixPath, Size]:
        """Every file below a folder, hidden or not."""

    def stamp(self, path: PurePosixPath) -> str:
        """Size, time of modification and inode of a file, or its ETag."""

    def holding(self, folder: PurePosixPath, name: str) -> list[str]:
        """The entries of a folder that hold a file of that name, in no order."""

    def read_all(self, paths: Sequence[PurePosixPath]) -> list[bytes]:
        """The contents of files."""

    def read_part(self, path: PurePosixPath, start: int, length: int) -> bytes:
        """Bytes of a file from `start` on, fewer than `length` where it ends before."""

    def write_all(self, contents: Mapping[PurePosixPath, bytes], *, lasting: bool = True) -> None:
        """Write files, in no order, each so that a reader sees all of it or none.

        Once this returns, they and their names outlive a power cut, if they are to be `lasting`.
        """

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        """Remove files and folders, in order, those that exist; after a power cut, too."""

    def discard(self, paths: Sequence[PurePosixPath]) -> None:
        """Remove files, in no order, those that exist; in a bucket a thousand at a time."""

    def obstacle(self, path: PurePosixPath) -> str | None:
        """Why nothing could be written below `path`, as far as that is known without writing."""

    def arrays(self, folder: PurePosixPath) -> StorePath:
        """A folder as zarr reads it; what lies there is never changed."""

    def at_once(self, ask: Callable[[Asked], Answer], asked: Sequence[Asked]) -> list[Answer]:
        """Answers to questions about files, asked at the same time where each has to be waited for."""

    def hold(self, path: PurePosixPath, *, wait: bool) -> AbstractContextManager[bool]:
        """Hold the lock that is kept at `path`; False if another has it and there is no wait.

        A holder that lost it to another gets a LostLockError instead of its next write.
        """
