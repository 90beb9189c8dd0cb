"""Objects in a bucket: S3, Google Cloud Storage, Azure."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import GenericError
from obstore.store import ObjectStore

from storage.store.connection import answers, connect
from storage.store.lease import Lease
from storage.store.medium import Answer, Asked, Entry, Size

if TYPE_CHECKING:
    from zarr.storage import StorePath

_AT_ONCE = 32  # requests
_POLL = 2.0  # seconds between two attempts to take a lock


@dataclass(frozen=True)
class Bucket:
    """The bucket s3://NAME, gs://NAME or az://NAME; several requests are under way at the same time."""

    url: str
    _leases: set[Lease] = field(default_factory=set, compare=False, repr=False)

    @cached_property
    def _objects(self) -> ObjectStore:
        return connect(self.url)

    def text(self, path: PurePosixPath) -> str:
        """The URL of an object."""
        return f"{self.url}/{_key(path)}".rstrip("/")

    def uri(self, path: PurePosixPath) -> str:
        """The same."""
        return self.text(path)

    def is_file(self, path: PurePosixPath) -> bool:
        """Whether there is an object of that key."""
        with suppress(FileNotFoundError), answers(self.text(path)):
            return bool(_key(path)) and bool(obstore.head(self._objects, _key(path)))
        return False

    def is_folder(self, path: PurePosixPath) -> bool:
        """Whether there are objects below that key; the whole bucket is a folder."""
        with answers(self.text(path)):
            some = next(iter(obstore.list(self._objects, _key(path))), [])
        return bool(some) or not _key(path)

    def entries(self, folder: PurePosixPath) -> list[Entry]:
        """What the keys that begin like the folder's go on with."""
        key = _key(folder)
        with answers(self.text(folder)):
            found = obstore.list_with_delimiter(self._objects, key)
        folders = [Entry(posixpath.basename(name), True) for name in found["common_prefixes"]]
        files = [
            Entry(posixpath.basename(meta["path"]), False, stamp=meta["e_tag"])
            for meta in found["objects"]
            if meta["path"] != key  # consoles mark a folder by an empty object of its own name
        ]
        return folders + files

    def below(self, folder: PurePosixPath) -> dict[str, list[Entry]]:
        """All that the keys which begin like the folder's go on with, a thousand a request."""
        found: dict[str, list[Entry]] = {"": []}
        with answers(self.text(folder)):
            for some in obstore.list(self._objects, _key(folder)):
                for meta in some:
                    path = PurePosixPath(meta["path"]).relative_to(_key(folder))
                    if not path.parts:
                        continue
                    for inner in path.parents[-2::-1]:  # from the outermost on
                        if str(inner) not in found:
                            found[str(inner)] = []
                            found[_key(inner.parent)].append(Entry(inner.name, True))
                    found[_key(path.parent)].append(Entry(path.name, False, stamp=meta["e_tag"]))
        return found

    def sizes(self, folder: PurePosixPath) -> dict[PurePosixPath, Size]:
        """Every object below a folder, a thousand a request."""
        with answers(self.text(folder)):
            return {
                PurePosixPath(meta["path"]): Size(meta["size"], meta["last_modified"].timestamp())
                for some in obstore.list(self._objects, _key(folder))
                for meta in some
            }

    def stamp(self, path: PurePosixPath) -> str:
        """Its ETag, or where there is none when it was put."""
        with answers(self.text(path)):
            meta = obstore.head(self._objects, _key(path))
        return meta["e_tag"] or str(meta["last_modified"])

    def holding(self, folder: PurePosixPath, name: str) -> list[str]:
        """The entries of a folder that hold an object of that name."""
        below = (PurePosixPath(key).relative_to(_key(folder)).parts for key in self._below(folder))
        return [parts[0] for parts in below if parts[1:] == (name,)]

    def read_all(self, paths: Sequence[PurePosixPath]) -> list[bytes]:
        """The contents of objects."""

        def read(path: PurePosixPath) -> bytes:
            with answers(self.text(path)):
                return bytes(obstore.get(self._objects, _key(path)).bytes())

        return self.at_once(read, paths)

    def read_part(self, path: PurePosixPath, start: int, length: int) -> bytes:
        """Bytes of an object."""
        with answers(self.text(path)):
            try:
                return bytes(obstore.get_range(self._objects, _key(path), start=start, length=length))
            except GenericError:
                if obstore.head(self._objects, _key(path))["size"] > start:
                    raise
                return b""

    def write_all(
        self,
        contents: Mapping[PurePosixPath, bytes],
        *,
        lasting: bool = True,  # noqa: ARG002 (all are)
    ) -> None:
        """Put objects."""

        def write(path: PurePosixPath) -> None:
            self._check_leases()
            with answers(self.text(path)):
                obstore.put(self._objects, _key(path), contents[path])

        self.at_once(write, list(contents))

    def remove(self, paths: Iterable[PurePosixPath]) -> None:
        """Delete the objects below each key, then that of the key itself."""
        for path in paths:
            for keys in (self._below(path), [_key(path)]):
                self._check_leases()
                if any(keys):
                    with suppress(FileNotFoundError), answers(self.text(path)):
                        obstore.delete(self._objects, keys)

    def discard(self, paths: Sequence[PurePosixPath]) -> None:
        """Delete objects; obstore asks for a thousand at a time."""
        self._check_leases()
        if paths:
            with suppress(FileNotFoundError), answers(self.text(paths[0])):
                obstore.delete(self._objects, [_key(path) for path in paths])

    def obstacle(self, path: PurePosixPath) -> str | None:  # noqa: ARG002 (only a write tells)
        """None: whether a bucket can be written shows only when it is."""
        return None

    def arrays(self, folder: PurePosixPath) -> StorePath:
        """A folder as zarr reads it."""
        from zarr.storage import StorePath

        from storage.store.shards import Shards

        return StorePath(Shards(self._objects, self.text(folder)), _key(folder))

    def at_once(self, ask: Callable[[Asked], Answer], asked: Sequence[Asked]) -> list[Answer]:
        """Many at the same time: each waits for the server."""
        if len(asked) < 2:
            return [ask(each) for each in asked]
        with ThreadPoolExecutor(min(_AT_ONCE, len(asked))) as pool:
            return list(pool.map(ask, asked))

    @contextmanager
    def hold(self, path: PurePosixPath, *, wait: bool) -> Iterator[bool]:
        """Hold a lock that is an object (`lease.py`); without it nothing is written to this bucket."""
        lease = Lease(self._objects, _key(path), self.text(path))
        while not lease.take():
            if not wait:
                yield False
                return
            time.sleep(_POLL)
        with lease.kept():
            self._leases.add(lease)
            try:
                yield True
            finally:
                self._leases.remove(lease)

    def _below(self, folder: PurePosixPath) -> list[str]:
        with answers(self.text(folder)):
            return [meta["path"] for some in obstore.list(self._objects, _key(folder)) for meta in some]

    def _check_leases(self) -> None:
        for lease in tuple(self._leases):
            lease.check()


def _key(path: PurePosixPath) -> str:
    key = posixpath.normpath(path)
    return "" if key == "." else key
