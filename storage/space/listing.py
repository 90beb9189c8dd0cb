"""All files of a store as one listing, of which each is taken once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from storage.store.location import Location
from storage.store.medium import Size
from storage.store.store import Store


class Taken(NamedTuple):
    """Files together: how many, their bytes, and when the last was written, in seconds since 1970."""

    files: int = 0
    bytes: int = 0
    modified: float = 0.0

    def __add__(self, other: object) -> Taken:
        if not isinstance(other, Taken):
            return NotImplemented
        modified = max(self.modified, other.modified)
        return Taken(self.files + other.files, self.bytes + other.bytes, modified)


class Listing:
    """The files that are not taken yet; what is written later is not among them."""

    def __init__(self, store: Store) -> None:
        """List all of a store: in a bucket a thousand files a request."""
        self._root = store.root
        self._tree: dict[str, Any] = {}
        for parts, size in store.sizes().items():
            folder = self._tree
            for name in parts[:-1]:
                folder = folder.setdefault(name, {})
            folder[parts[-1]] = size

    def entries(self, folder: Location, suffix: str = "") -> list[Location]:
        """As `Files.entries`: what is visible in a folder and ends so, sorted."""
        found = self._at(folder)
        names = found if isinstance(found, dict) else ()
        return sorted(folder / name for name in names if name.endswith(suffix) and not name.startswith("."))

    def holds(self, path: Location) -> bool:
        """Whether a file or folder is there, and not taken."""
        return self._at(path) is not None

    def take(self, paths: Iterable[Location]) -> Taken:
        """Take files, and folders with all that is left in them."""
        total = Taken()
        for path in paths:
            *above, name = path.path.relative_to(self._root.path).parts
            folder = self._tree
            for each in above:
                folder = folder.get(each, {})
            for size in _sizes(folder.pop(name, {})):
                total += Taken(1, size.bytes, size.modified)
        return total

    def hidden(self) -> list[Location]:
        """Files that were not written to their end, or are being written."""
        return [self._root / "/".join(parts) for parts in _hidden(self._tree, ())]

    def rest(self) -> list[Location]:
        """What lies in the root and is not taken."""
        return [self._root / name for name in self._tree]

    def _at(self, path: Location) -> Any:
        found: Any = self._tree
        for name in path.path.relative_to(self._root.path).parts:
            found = found.get(name) if isinstance(found, dict) else None
        return found


def _sizes(tree: dict[str, Any] | Size) -> Iterator[Size]:
    if isinstance(tree, Size):
        yield tree
        return
    for below in tree.values():
        yield from _sizes(below)


def _hidden(tree: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from _hidden(below, (*above, name))
        elif name.startswith("."):
            yield (*above, name)
