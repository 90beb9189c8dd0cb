"""The store: a folder or a bucket, its format, and every path in it spelled once.

store.json                               format version; makes a folder, or a prefix, a store
datasets/NAME/                           datasets that the project drew itself
manifests/NAME.parquet                   the last manifest of each dataset
features/FEATURE_KEY/                    segments of embeddings and pyramids (features.py)
indices/FEATURE_KEY/GALLERY.faiss|.json  faiss indices and their seals (sealed.py, indices.py)
states/STATE_KEY.npz|.json               what a method learned of training images (states.py)
scores/SCORE_KEY/                        segments of anomaly maps and scores (scores.py)
corrupted/SCORE_KEY/                     segments of scores of images made worse (corrupted.py)
alike/KEY/TIME~SCORE_KEY                 scores that differ in nothing but training images (reuse.py)
jobs/RUN_ID/manifest|run.parquet         of a run that is under way; its record says interrupted
jobs/RUN_ID/set-aside/CATEGORY.json      why images could not be used after all
under-way/RUN_ID~TOKEN.json|.lock        what a process works on, held while it lives (under_way.py)
locks/NAME.lock|.holder                  held by what runs alone (lock.py), and whose it is
runs/RUN_ID/TABLE.parquet                result tables; run.parquet publishes them (results.py)
runs/RUN_ID/accepted|pinned              what got worse in it is accepted; why it is kept for good
index/TABLE-NUMBER.parquet|RUN_ID~*.*    what all runs hold, and what changed since (index.py)
reproductions/SWEEP_ID.parquet           a sweep's runs beside the figures of the paper
reports/RUN_ID/                          pages that show a run; index.html is written last (reports.py)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any

from storage.errors import StoreError
from storage.store.files import Files
from storage.store.location import Location, location, read_bytes

Entries = Callable[..., list[Location]]  # what lies in a folder, by its suffix, as of `Files.entries`
FORMAT_VERSION = 2
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
class Store(Files):
    """A store's folder, or its place in a bucket."""

    @classmethod
    def at(cls, root: str | PathLike[str]) -> Store:
        """The store that a folder or URL means; it is not looked at.

        Raises:
            StoreError: a URL where no store can be.
        """
        try:
            return cls(location(root))
        except ValueError as error:
            raise StoreError(
                f"the store {root} cannot be used ({error}): name a folder or s3://BUCKET/FOLDER with --store"
            ) from error

    @classmethod
    def open(cls, root: str | PathLike[str], *, create: bool = False) -> Store:
        """Open the store at `root`; with `create`, make one of an absent or empty folder.

        Raises:
            StoreError: not a store, written in another format, or not writable.
        """
        store = cls.at(root)
        marker = store.root / "store.json"
        try:
            if create and not store.exists(marker):
                store._create(marker)
            version = json.loads(read_bytes(marker))["format_version"]
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
                f"the store {store.root} was written in format {version} and this version reads "
                f"{FORMAT_VERSION}: upgrade spade-anomaly, or name another --store"
            )
        if version < FORMAT_VERSION:
            raise StoreError(
                f"the store {store.root} was written in format {version} and this version reads "
                f"{FORMAT_VERSION}: name a new --store and evaluate again"
            )
        return store

    @classmethod
    def foresee(cls, root: str | PathLike[str]) -> Store:
        """The store at `root`, or the empty one that `open` would make there; nothing is written.

        Raises:
            StoreError: as `open` with `create`; whether a bucket can be written is not known.
        """
        store = cls.peek(root)
        obstacle = store.root.medium.obstacle(store.root.path)
        if obstacle is not None:
            raise store._unusable(obstacle)
        return store

    @classmethod
    def peek(cls, root: str | PathLike[str]) -> Store:
        """The store at `root`, or an empty one where there is none, to read what is there.

        Raises:
            StoreError: not a store, or written by a newer version.
        """
        store = cls.at(root)
        try:
            if store.exists(store.root / "store.json"):
                return cls.open(store.root)
            store._check_free()
        except OSError as error:
            raise store._unusable(error.strerror) from error
        return store

    def _unusable(self, reason: str | None) -> StoreError:
        return StoreError(
            f"the store {self.root} cannot be used ({reason}): name another folder with --store"
        )

    def _create(self, marker: Location) -> None:
        self._check_free()
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
            self.remove([probe])
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}): "
                "free it or name another folder with --store"
            ) from error

    def dataset(self, name: str) -> Location:
        """Folder of a drawn dataset."""
        return self.root / "datasets" / safe_name(name)

    def manifest(self, dataset: str) -> Location:
        """The last manifest of a dataset."""
        return self.root / "manifests" / f"{safe_name(dataset)}.parquet"

    def features(self, feature_key: str = "") -> Location:
        """Segments of one feature key; without one, the folder of all."""
        return self.root / "features" / feature_key

    def index(self, feature_key: str, gallery: str, suffix: str = "faiss") -> Location:
        """File of the index over one set of training rows, or with `suffix` "json" its seal."""
        return self.root / "indices" / feature_key / f"{gallery}.{suffix}"

    def indices(self, entries: Entries | None = None) -> list[Location]:
        """Every index file of the store, or of a listing of it."""
        entries = entries or self.entries
        folders = entries(self.root / "indices")
        return [path for folder in folders for path in entries(folder, ".faiss")]

    def state(self, state_key: str, suffix: str = "npz") -> Location:
        """File of what a method learned, or with `suffix` "json" its seal."""
        return self.root / "states" / f"{state_key}.{suffix}"

    def states(self, entries: Entries | None = None) -> list[Location]:
        """Every state's file of the store, or of a listing of it."""
        return (entries or self.entries)(self.root / "states", ".npz")

    def scores(self, score_key: str = "") -> Location:
        """Segments of one score key; without one, the folder of all."""
        return self.root / "scores" / score_key

    def corrupted(self, score_key: str = "") -> Location:
        """Segments of scores of images made worse, of one score key; without one, the folder of all."""
        return self.root / "corrupted" / score_key

    def alike(self, key: str = "") -> Location:
        """Folder of the names of scores that differ in nothing but training images; without a key, of all."""
        return self.root / "alike" / key

    def metrics(self, score_key: str, labels: str, suffix: str = "json") -> Location:
        """Metrics of the scores against one set of labels and masks, or with `suffix` "npz" their profile."""
        return self.root / "scores" / score_key / "metrics" / f"{labels}.{suffix}"

    def looks(self) -> Location:
        """Segments of how bright and how rich in contrast images are."""
        return self.root / "looks"

    def held_out(self, score_key: str) -> Location:
        """Scores of training images, each compared with the others (held_out.py)."""
        return self.root / "scores" / score_key / "held-out.json"

    def job(self, run_id: str = "", table: str = "") -> Location:
        """A table of a run that is under way, or was interrupted; without one, the folder of all its."""
        folder = self.root / "jobs" / run_id
        return folder / f"{table}.parquet" if table else folder

    def set_aside(self, run_id: str, category: str = "") -> Location:
        """Why images of a category were set aside since a run began; without one, the folder of all."""
        folder = self.job(run_id) / "set-aside"
        return folder / f"{safe_name(category)}.json" if category else folder

    def under_way(self, name: str = "") -> Location:
        """A file of a process that works on runs; without a name, the folder of all."""
        return self.root / "under-way" / name

    def lock(self, name: str) -> Location:
        """What one process at a time may hold."""
        return self.root / "locks" / f"{name}.lock"

    def holder(self, name: str) -> Location:
        """Id of the flow run that holds a lock; left behind by one that died."""
        return self.root / "locks" / f"{name}.holder"

    def run(self, run_id: str = "") -> Location:
        """Folder of one run's tables; without an id, the folder of all."""
        return self.root / "runs" / run_id

    def run_table(self, run_id: str, table: str) -> Location:
        """One table of a run."""
        return self.run(run_id) / f"{table}.parquet"

    def acceptance(self, run_id: str) -> Location:
        """Mark of a run that is good although something in it got worse."""
        return self.run(run_id) / "accepted"

    def pin(self, run_id: str) -> Location:
        """Why a run is kept for good."""
        return self.run(run_id) / "pinned"

    def index_of_runs(self, name: str = "") -> Location:
        """A file of the index of runs; without a name, its folder."""
        return self.root / "index" / name

    def reproduction(self, sweep: str) -> Location:
        """Table of what a sweep reproduces of the paper."""
        return self.root / "reproductions" / f"{sweep}.parquet"

    def reproductions(self, entries: Entries | None = None) -> list[Location]:
        """Every such table of the store, or of a listing of it."""
        return (entries or self.entries)(self.root / "reproductions", ".parquet")

    def report(self, run_id: str = "") -> Location:
        """Folder of the pages that show a run; without an id, the folder of all."""
        return self.root / "reports" / run_id
