"""Where a store, a dataset or a file of one lies: a path on this machine's disk or in a bucket."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from os import PathLike
from pathlib import Path, PurePosixPath

from storage.store.bucket import Bucket
from storage.store.connection import SCHEMES
from storage.store.disk import Disk
from storage.store.medium import Medium

DEFAULT_REGISTRY = "deployments/datasets.toml"  # storage/datasets/registry.py
_DISK = Disk()
_ENVIRONMENT = ("AWS_", "GOOGLE_", "AZURE_")


@dataclass(frozen=True)
class Location:
    """A path, and the medium that it is on; `str()` is what a user calls it."""

    medium: Medium
    path: PurePosixPath

    def __truediv__(self, below: str) -> Location:
        return replace(self, path=self.path / below)

    def __str__(self) -> str:
        return self.medium.text(self.path)

    def __fspath__(self) -> str:
        return str(self)

    def __lt__(self, other: Location) -> bool:
        return self.path < other.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.path.stem

    @property
    def suffix(self) -> str:
        """What the name ends in, from its last dot on."""
        return self.path.suffix

    @property
    def parent(self) -> Location:
        """The folder it lies in."""
        return replace(self, path=self.path.parent)

    def as_uri(self) -> str:
        """The path as a browser opens it."""
        return self.medium.uri(self.path)

    def with_suffix(self, suffix: str) -> Location:
        """The path with another suffix."""
        return replace(self, path=self.path.with_suffix(suffix))


def location(name: str | PathLike[str]) -> Location:
    """The place that `name` means: a path, made absolute, `~` expanded; or a URL such as s3://BUCKET/FOLDER.

    Credentials and endpoint of a bucket come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).

    Raises:
        ValueError: a URL without a bucket, or of an unknown kind.
    """
    if isinstance(name, Location):
        return name
    scheme, is_url, rest = os.fspath(name).partition("://")
    if not is_url:
        return Location(_DISK, PurePosixPath(os.path.normpath(Path(name).expanduser().absolute())))
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme}:// is none of {', '.join(f'{known}://' for known in SCHEMES)}")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise ValueError("it names no bucket")
    settings = frozenset(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT))
    return Location(_bucket(f"{scheme}://{bucket}", settings), PurePosixPath(key.strip("/")))


@cache
def _bucket(url: str, settings: frozenset[tuple[str, str]]) -> Bucket:  # noqa: ARG001 (another, other connections)
    """The bucket, with the connections and locks that all paths in it share."""
    return Bucket(url)


def read_bytes(path: Location) -> bytes:
    """The content of a file.

    Raises:
        OSError: it is absent, or a disk's file cannot be read.
        UnreachableStoreError: the bucket does not answer, or refuses.
    """
    return path.medium.read_all([path.path])[0]


def exists(path: Location) -> bool:
    """Whether a file or folder is there."""
    return path.medium.is_file(path.path) or path.medium.is_folder(path.path)
