"""The folder of a report: pages and pictures, `spade-report.json` first, `index.html` last."""

from __future__ import annotations

import json
from os import PathLike

from storage.errors import StoreError
from storage.store.files import Files
from storage.store.location import Location, location

_MARKER = "spade-report.json"
_PAGE = "index.html"


class ReportFolder:
    """Writes a report's files; several threads may write at once."""

    def __init__(self, root: str | PathLike[str], run_id: str) -> None:
        """Claim an absent or empty folder, or that of a report, which is overwritten.

        Raises:
            StoreError: the folder holds other files, or cannot be written.
        """
        try:
            self.root = location(root)
        except ValueError as error:
            raise _unwritable(root, str(error)) from error
        self._files = Files(self.root)
        try:
            found = {entry.name for entry in self.root.medium.entries(self.root.path)}
            if found and _MARKER not in found:
                raise StoreError(
                    f"{self.root} holds other files and no report: name a new folder as --output"
                )
            earlier = sorted(found, key=lambda name: (name == _MARKER, name != _PAGE))
            self._files.remove(self.root / name for name in earlier)
        except OSError as error:
            raise _unwritable(root, error.strerror) from error
        self.write(_MARKER, json.dumps({"run": run_id}))

    @property
    def index(self) -> Location:
        """The page to open."""
        return self.root / _PAGE

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file by its path below the report's folder; what a power cut spoils can be made anew.

        Raises:
            StoreError: it cannot be written; UnreachableStoreError in a bucket.
        """
        encoded = content.encode() if isinstance(content, str) else content
        try:
            self._files.write_all({self.root / name: encoded}, lasting=False)
        except OSError as error:
            raise _unwritable(self.root, error.strerror) from error


def _unwritable(root: str | PathLike[str], reason: str | None) -> StoreError:
    return StoreError(
        f"no report can be written to {root} ({reason}): free it, or name another folder as --output"
    )
