"""What tests do to the files of a store, in a folder or a bucket."""

from __future__ import annotations

from pathlib import Path

from storage.store.files import Files
from storage.store.location import Location, read_bytes


def entries(folder: Location) -> list[Location]:
    """What lies in a folder, hidden or not, sorted."""
    return sorted(folder / entry.name for entry in folder.medium.entries(folder.path))


def files_below(folder: Location) -> list[Location]:
    """Every file below a folder, sorted."""
    found = []
    for entry in folder.medium.entries(folder.path):
        path = folder / entry.name
        found += files_below(path) if entry.is_folder else [path]
    return sorted(found)


def names_below(folder: Location) -> list[str]:
    """Paths of these files below the folder."""
    return [str(path).removeprefix(f"{folder}/") for path in files_below(folder)]


def copy(folder: Path, to: Location) -> None:
    """Copy the files of a folder on the disk."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    Files(to).write_all({to / path.relative_to(folder).as_posix(): path.read_bytes() for path in files})


def overwrite(path: Location, content: bytes) -> None:
    """Put another content into a file."""
    Files(path.parent).write(path, content)


def delete(path: Location) -> None:
    """Remove a file or a folder."""
    Files(path.parent).remove([path])


def replace(path: Location, old: bytes, new: bytes) -> None:
    """Replace bytes of a file wherever they occur."""
    content = read_bytes(path)
    assert old in content
    overwrite(path, content.replace(old, new))


def flip(path: Location, position: int) -> None:
    """Flip a bit of a file."""
    content = bytearray(read_bytes(path))
    content[position] ^= 4
    overwrite(path, bytes(content))


def halve(path: Location) -> None:
    """Keep the first half of a file."""
    content = read_bytes(path)
    overwrite(path, content[: len(content) // 2])
