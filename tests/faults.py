"""A disk whose process dies before its n-th change: what a kill leaves behind, without chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from shutil import copytree

from storage.store.disk import Disk
from storage.store.location import Location
from storage.store.medium import Entry
from storage.store.store import Store


class Killed(BaseException):
    """The process is gone; nothing handles it."""


class FaultyDisk(Disk):
    """Makes each change of a file on its own, calls `before` with its number, and counts what is read."""

    def __init__(self, before: Callable[[int], object] = bool) -> None:
        self.before = before
        self.changes = 0
        self.reads = 0

    def _change(self) -> None:
        self.before(self.changes)
        self.changes += 1

    def entries(self, folder: PurePosixPath) -> list[Entry]:
        self.reads += 1
        return super().entries(folder)

    def read_all(self, paths: Sequence[PurePosixPath]) -> list[bytes]:
        self.reads += len(paths)
        return super().read_all(paths)

    def is_file(self, path: PurePosixPath) -> bool:
        self.reads += 1
        return super().is_file(path)

    def write_all(self, contents: Mapping[PurePosixPath, bytes], *, lasting: bool = True) -> None:
        for path, content in contents.items():
            self._change()
            super().write_all({path: content}, lasting=lasting)

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        for path in paths:
            below = sorted(each for each in Path(path).rglob("*") if each.is_file())
            for each in [*below, path]:
                self._change()
                super().remove([PurePosixPath(each)])

    def discard(self, paths: Sequence[PurePosixPath]) -> None:
        for path in paths:
            self._change()
            super().discard([path])


def on(disk: Disk, store: Store) -> Store:
    """The store in that folder, on this disk."""
    return Store(Location(disk, store.root.path))


def kills(store: Store, work: Callable[[Store], object], folder: Path) -> Iterator[Store]:
    """Copies of a store in which the work was killed before each of its changes in turn."""
    number, finished = 0, False
    while not finished:
        copy = Path(copytree(store.root, folder / str(number)))

        def before(change: int, kill_at: int = number) -> None:
            if change == kill_at:
                raise Killed

        try:
            work(Store(Location(FaultyDisk(before), PurePosixPath(copy))))
            finished = True
        except Killed:
            pass
        number += 1
        yield Store.open(copy)
