"""Whole files in a folder or a bucket: read, written, listed and removed in the same words."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from upath import UPath

from storage.store.location import Location, answers, read_bytes


@dataclass(frozen=True)
class Files:
    """The files below `root`; every path given to a method lies there.

    Each is written whole or not at all: a temporary file and a rename in a folder, one put in a bucket.
    Where several are asked for at once, those of a bucket are fetched or sent at the same time.
    A bucket that does not answer, or refuses, is a StoreError; OSError is left for what is absent.
    """

    root: Location

    def exists(self, path: Location) -> bool:
        """Whether a file or folder is there."""
        if isinstance(path, UPath):
            with answers(path):
                return bool(path.fs.exists(path.path))
        return path.exists()

    def read_all(self, paths: Sequence[Location]) -> list[bytes]:
        """The contents of files."""
        if not isinstance(self.root, UPath):
            return [read_bytes(path) for path in paths]
        names = [_name(path) for path in paths]
        contents = self.root.fs.cat_ranges(names, None, None, on_error="return") if names else []
        for path, content in zip(paths, contents, strict=True):
            with answers(path):
                if isinstance(content, Exception):
                    raise content
        return list(contents)

    def write(self, path: Location, content: bytes) -> None:
        """Write a file so that a reader sees all of it or none."""
        self.write_all({path: content})

    def write_all(self, contents: Mapping[Location, bytes]) -> None:
        """Write files, in no order."""
        if isinstance(self.root, UPath):
            with answers(self.root):
                self.root.fs.pipe({_name(path): content for path, content in contents.items()})
        else:
            for path, content in contents.items():
                _write_and_rename(Path(str(path)), content)

    def entries(self, folder: Location, suffix: str = "") -> list[Location]:
        """Visible entries of `folder` that end in `suffix`, sorted; none if the folder is absent."""
        if isinstance(folder, UPath):
            names = set()
            with suppress(FileNotFoundError), answers(folder):
                # consoles mark a folder by an empty object of its own name
                names = {_below(folder, name) for name in folder.fs.ls(folder.path, detail=False)} - {""}
        else:
            names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        return sorted(folder / name for name in names if name.endswith(suffix) and not name.startswith("."))

    def holding(self, folder: Location, name: str) -> list[Location]:
        """The `entries` of a folder that hold a file of that name."""
        if isinstance(folder, UPath):
            with answers(folder):
                found = [_below(folder, path).split("/") for path in folder.fs.find(folder.path)]
            return sorted(folder / entry for entry, *rest in found if rest == [name] and entry[:1] != ".")
        return [entry for entry in self.entries(folder) if (entry / name).exists()]

    def remove(self, paths: Iterable[Location]) -> None:
        """Remove files and folders, in order, those that exist."""
        for path in paths:
            if isinstance(path, UPath):
                with suppress(FileNotFoundError), answers(path):
                    path.fs.rm(path.path, recursive=True)
            elif path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _name(path: Location) -> str:
    """Bucket and key, as the file system of a bucket wants them."""
    return path.path if isinstance(path, UPath) else str(path)


def _below(folder: UPath, name: str) -> str:
    return name.removeprefix(folder.path.rstrip("/")).strip("/")


def _write_and_rename(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
