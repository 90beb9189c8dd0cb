"""The store: a folder, its format, and every path in it spelled once.

store.json                               format version; makes a folder a store
datasets/NAME/                           datasets that the project drew itself
manifests/NAME.parquet                   the last manifest of each dataset
features/FEATURE_KEY/                    segments of embeddings and pyramids (features.py)
indices/FEATURE_KEY/GALLERY.faiss|.json  faiss indices and their checksums (indices.py)
scores/SCORE_KEY/                        segments of anomaly maps and scores (scores.py)
jobs/RUN_ID.parquet                      manifest of a run that is under way
runs/RUN_ID/TABLE.parquet                result tables; run.parquet publishes them (results.py)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import StoreError

FORMAT_VERSION = 1
DEFAULT_STORE = "spade-store"


def digest(value: Any) -> str:
    """First 16 hexadecimal digits of the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def safe_name(name: str) -> str:
    """`name` as one path component: letters of any script, digits, blanks and ._- stay, the rest is %XX."""
    quoted = re.sub(
        r"[^\w .-]", lambda match: "".join(f"%{byte:02X}" for byte in os.fsencode(match[0])), name
    )
    quoted = re.sub(r"^\.", "%2E", quoted)
    if len(os.fsencode(quoted)) <= 200:
        return quoted
    short = os.fsencode(quoted)[:150].decode(errors="ignore")
    return f"{short}%{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}"


@dataclass(frozen=True)
class Store:
    """A store's folder. Files are written whole or not at all (temporary file, then rename)."""

    root: Path

    @classmethod
    def open(cls, root: str | Path, *, create: bool = False) -> Store:
        """Open the store at `root`; with `create`, make one of an absent or empty folder.

        Raises:
            StoreError: not a store, written by a newer version, or not writable.
        """
        store = cls(Path(root).expanduser().absolute())
        marker = store.root / "store.json"
        try:
            if create and not marker.exists():
                store._create(marker)
            version = json.loads(marker.read_text())["format_version"]
        except FileNotFoundError:
            raise StoreError(
                f"no store at {store.root}: name the one given to `spade evaluate --store`, or run that first"
            ) from None
        except OSError as error:
            raise store._unusable(error.strerror) from error
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{marker} is not a store's marker: restore it or name another --store"
            ) from None
        if not isinstance(version, int):
            raise StoreError(f"{marker} is not a store's marker: restore it or name another --store")
        if version > FORMAT_VERSION:
            raise StoreError(
                f"the store {store.root} was written in format {version} and this version reads up to "
                f"{FORMAT_VERSION}: upgrade spade-anomaly, or name another --store"
            )
        return store

    @classmethod
    def foresee(cls, root: str | Path) -> Store:
        """The store at `root`, or the empty one that `open` would make there; nothing is written.

        Raises:
            StoreError: as `open` with `create`.
        """
        store = cls(Path(root).expanduser().absolute())
        try:
            if (store.root / "store.json").exists():
                return cls.open(store.root)
            store._check_free()
            above = next(path for path in (store.root, *store.root.parents) if path.exists())
            if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
                raise store._unusable(f"{above} is not a folder that can be written")
        except OSError as error:
            raise store._unusable(error.strerror) from error
        return store

    def _unusable(self, reason: str | None) -> StoreError:
        return StoreError(
            f"the store {self.root} cannot be used ({reason}): name another folder with --store"
        )

    def _create(self, marker: Path) -> None:
        self._check_free()
        self.root.mkdir(parents=True, exist_ok=True)
        self.write(marker, json.dumps({"format_version": FORMAT_VERSION}).encode())

    def _check_free(self) -> None:
        if self.entries(self.root):
            raise StoreError(
                f"{self.root} holds other files and is no store: name a new or empty folder with --store"
            )

    def check_writable(self) -> None:
        """Raise StoreError now, and not after hours of work, if nothing can be written here."""
        probe = self.root / f".write-{secrets.token_hex(4)}"
        try:
            self.write(probe, b"")
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}): "
                "free it or name another folder with --store"
            ) from error

    def write(self, path: Path, content: bytes) -> None:
        """Write a file so that a reader sees all of it or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def entries(self, folder: Path, suffix: str = "") -> list[Path]:
        """Visible entries of `folder` that end in `suffix`, sorted; none if the folder is absent."""
        if not folder.is_dir():
            return []
        return sorted(
            path for path in folder.iterdir() if path.name.endswith(suffix) and not path.name.startswith(".")
        )

    def remove(self, paths: Iterable[Path]) -> None:
        """Remove files and folders, in order, those that exist."""
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def dataset(self, name: str) -> Path:
        """Folder of a drawn dataset."""
        return self.root / "datasets" / safe_name(name)

    def manifest(self, dataset: str) -> Path:
        """The last manifest of a dataset."""
        return self.root / "manifests" / f"{safe_name(dataset)}.parquet"

    def features(self, feature_key: str = "") -> Path:
        """Segments of one feature key; without one, the folder of all."""
        return self.root / "features" / feature_key

    def index(self, feature_key: str, gallery: str, suffix: str) -> Path:
        """File of the index over one set of training rows, `suffix` "faiss" or "json"."""
        return self.root / "indices" / feature_key / f"{gallery}.{suffix}"

    def indices(self) -> list[Path]:
        """Every index file of the store."""
        return [
            path for folder in self.entries(self.root / "indices") for path in self.entries(folder, ".faiss")
        ]

    def scores(self, score_key: str = "") -> Path:
        """Segments of one score key; without one, the folder of all."""
        return self.root / "scores" / score_key

    def metrics(self, score_key: str, labels: str) -> Path:
        """Metrics of the scores against one set of labels and masks."""
        return self.root / "scores" / score_key / "metrics" / f"{labels}.json"

    def job(self, run_id: str) -> Path:
        """Manifest of a run that is under way, or was interrupted."""
        return self.root / "jobs" / f"{run_id}.parquet"

    def run(self, run_id: str = "") -> Path:
        """Folder of one run's tables; without an id, the folder of all."""
        return self.root / "runs" / run_id

    def run_table(self, run_id: str, table: str) -> Path:
        """One table of a run."""
        return self.run(run_id) / f"{table}.parquet"
