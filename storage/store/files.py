"""Files below a root: read, written, listed and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.store.location import Location, exists, read_bytes
from storage.store.medium import Size


@dataclass(frozen=True)
class Files:
    """The files below `root`; every path given to a method lies there.

    Each is written whole or not at all, and is there after a power cut once it is written. Where several are
    asked for at once, those of a bucket are fetched or sent at the same time. A bucket that does not answer,
    or refuses, is a StoreError; OSError is left for what is absent.
    """

    root: Location

    def exists(self, path: Location) -> bool:
        """Whether a file or folder is there."""
        return exists(path)

    def read_all(self, paths: Sequence[Location]) -> list[bytes]:
        """The contents of files."""
        return self.root.medium.read_all([path.path for path in paths])

    def read_present(self, paths: Sequence[Location]) -> list[bytes | None]:
        """The contents of files; None of one that is absent."""
        return self.root.medium.at_once(_read_present, paths)

    def write(self, path: Location, content: bytes) -> None:
        """Write a file so that a reader sees all of it or none."""
        self.write_all({path: content})

    def write_all(self, contents: Mapping[Location, bytes], *, lasting: bool = True) -> None:
        """Write files, in no order; what is not `lasting` may be gone after a power cut."""
        by_path = {path.path: content for path, content in contents.items()}
        self.root.medium.write_all(by_path, lasting=lasting)

    def entries(self, folder: Location, suffix: str = "") -> list[Location]:
        """Visible entries of `folder` that end in `suffix`, sorted; none if the folder is absent."""
        names = {entry.name for entry in folder.medium.entries(folder.path)}
        return sorted(folder / name for name in names if name.endswith(suffix) and not name.startswith("."))

    def holding(self, folder: Location, name: str) -> list[Location]:
        """The `entries` of a folder that hold a file of that name."""
        found = folder.medium.holding(folder.path, name)
        return sorted(folder / entry for entry in found if not entry.startswith("."))

    def sizes(self) -> dict[tuple[str, ...], Size]:
        """Every file, hidden or not, by the parts of its path below the root."""
        found = self.root.medium.sizes(self.root.path)
        return {path.relative_to(self.root.path).parts: size for path, size in found.items()}

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove files and folders, in order, those that exist."""
        self.root.medium.remove(path.path for path in paths)

    def discard(self, paths: Sequence[Location]) -> None:
        """Remove files, in no order, those that exist: many at about the cost of one."""
        self.root.medium.discard([path.path for path in paths])


def _read_present(path: Location) -> bytes | None:
    try:
        return read_bytes(path)
    except FileNotFoundError:
        return None
