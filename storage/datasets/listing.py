"""What lies in a folder, on a disk or in a bucket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from upath import UPath

from storage.store.location import Location

_HIDDEN = frozenset({"thumbs.db", "desktop.ini"})


class Listing(NamedTuple):
    """Names of the visible folders and files in one folder, each sorted."""

    folders: list[str]
    files: list[str]


def listing(folder: Location) -> Listing:
    """What lies in `folder`, by one request to a bucket; nothing where it is absent.

    Bytes of a name that are not Unicode are shown as backslash escapes: such a file can be named, not read.
    """
    try:
        found = _on_disk(folder) if isinstance(folder, Path) else _in_bucket(folder)
    except (FileNotFoundError, NotADirectoryError):
        found = []
    visible = [
        (os.fsencode(name).decode(errors="backslashreplace"), is_folder)
        for name, is_folder in found
        if not name.startswith(".") and name.lower() not in _HIDDEN
    ]
    return Listing(
        sorted(name for name, is_folder in visible if is_folder),
        sorted(name for name, is_folder in visible if not is_folder),
    )


def _on_disk(folder: Path) -> list[tuple[str, bool]]:
    with os.scandir(folder) as entries:
        return [
            (entry.name, entry.is_dir())
            for entry in entries
            if entry.is_dir() or entry.is_file() or entry.is_symlink()
        ]


def _in_bucket(folder: UPath) -> list[tuple[str, bool]]:
    own = folder.path.rstrip("/")
    names = [
        (str(info["name"]).rstrip("/"), info["type"] == "directory")
        for info in folder.fs.ls(folder.path, detail=True)
    ]
    return [(name.rsplit("/", 1)[-1], is_folder) for name, is_folder in names if name != own]
