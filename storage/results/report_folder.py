"""The folder of a report: pages and pictures, `spade-report.json` first, `index.html` last."""

from __future__ import annotations

import json

from storage.errors import StoreError
from storage.store.files import Files
from storage.store.location import Location, location

_MARKER = "spade-report.json"


class ReportFolder:
    """Writes a report's files; several threads may write at once."""

    def __init__(self, root: str | Location, run_id: str) -> None:
        """Claim an absent or empty folder, or that of a report, which is overwritten.

        Raises:
            StoreError: the folder holds other files, or cannot be written.
        """
        self.root = location(root)
        try:
            found = {path.name for path in self.root.iterdir()} if self.root.exists() else set()
            if found and _MARKER not in found:
                raise StoreError(
                    f"{self.root} holds other files and no report: name a new folder as --output"
                )
            self._remove(self.root)
            self.write(_MARKER, json.dumps({"run": run_id}))
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def index(self) -> Location:
        """The page to open."""
        return self.root / "index.html"

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file by its path below the report's folder.

        Raises:
            StoreError: it cannot be written; UnreachableStoreError in a bucket.
        """
        path = self.root.joinpath(*name.split("/"))
        try:
            Files(self.root).write(path, content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreError:
        return StoreError(
            f"no report can be written to {self.root} ({error.strerror}): free it, or name another folder "
            "as --output"
        )

    def _remove(self, folder: Location) -> None:
        """Remove what an earlier report left, the page to open first, the marker last."""
        if not folder.exists():
            return
        left: list[Location] = sorted(folder.iterdir(), key=_order)
        for path in left:
            if path.is_dir() and not path.is_symlink():
                self._remove(path)
                path.rmdir()
            else:
                path.unlink()


def _order(path: Location) -> tuple[bool, bool]:
    return path.name == _MARKER, path.name != "index.html"
