"""The normal images of a finished run: what a new image is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from storage.computed.features import Features
from storage.computed.indices import has_index, index_name, read_index
from storage.computed.scores import ImageScore
from storage.datasets.dataset import Manifest
from storage.errors import StoreError
from storage.results.reader import INTERRUPTED, Results
from storage.store.store import Store
from storage.store.tables import read_table
from tasks.core.config import Configuration
from tasks.core.errors import ConfigurationError
from tasks.core.matching.matching import Pyramid
from tasks.core.matching.retrieval import nearest
from tasks.job import DEFAULT_MEMORY_GIB
from tasks.methods.spade import Pyramids, cached_pyramids, score_image
from tasks.run.settings import settings_of


@dataclass(frozen=True)
class NormalImages:
    """The training images of one category of a run, in the order of its index.

    Attributes:
        store: where their features are.
        record: the row of the run's table.
        category: name of the category.
        score_key: digest of these images' features and of the settings: same key, same scores.
        settings: of the run.
        image_ids: paths below the dataset's root.
        keys: SHA-256 of each.
    """

    store: Store
    record: Mapping[str, Any]
    category: str
    score_key: str
    settings: Configuration
    image_ids: Sequence[str]
    keys: Sequence[str]

    @classmethod
    def of(cls, store: str, run: str = "latest", category: str | None = None) -> NormalImages:
        """Those of a run's category, which may be left out where the run has one.

        Raises:
            ConfigurationError: no such category, or one of several must be named.
            StoreError: no such run, the category failed in it, or its features are gone.
        """
        results, opened = Results(store), Store.open(store)
        record = results.rows("run", run)[0]
        if record["status"] == INTERRUPTED:
            raise StoreError(f"run {record['run']} was interrupted: evaluate {record['root']} again")
        method = results.main_method(record["run"])
        rows = {row["category"]: row for row in results.rows("categories", record["run"], method)}
        if category is None and len(rows) > 1:
            raise ConfigurationError(
                f"category is not given: run {record['run']} has {', '.join(rows)}; name one of them"
            )
        name = next(iter(rows)) if category is None else category
        if name not in rows:
            raise ConfigurationError(
                f"category is {name!r}: run {record['run']} has {', '.join(rows)}; name one of them"
            )
        if rows[name]["status"] != "ok":
            raise StoreError(
                f"category {name} failed in run {record['run']} ({rows[name]['reason']}): "
                "evaluate it again, or name another --run"
            )
        table = read_table(opened.run_table(record["run"], "manifest"))
        train = Manifest.from_table(table).of(name).train()
        found = cls(
            opened,
            record,
            name,
            rows[name]["score_key"],
            settings_of(record),
            [entry.image_id for entry in train],
            [entry.key for entry in train],
        )
        if not has_index(opened, record["feature_key"], found.index_name) or any(
            key not in found.features for key in found.keys
        ):
            raise found.gone()
        return found

    def gone(self) -> StoreError:
        """The error where features are no longer in the store, with the remedy."""
        return StoreError(
            f"features of run {self.record['run']}, category {self.category}, are no longer in "
            f"{self.store.root}: evaluate {self.record['root']} again with the same options"
        )

    @cached_property
    def features(self) -> Features:
        """The features of the run; a new image's may be among them."""
        return Features(self.store, self.record["feature_key"])

    @property
    def index_name(self) -> str:
        """What the index is found by."""
        return index_name(self.keys, self.settings.index_for(len(self.keys)))

    @cached_property
    def index(self) -> faiss.Index:
        """The index of the embeddings."""
        return read_index(self.store, self.record["feature_key"], self.index_name)

    @cached_property
    def pyramids(self) -> Pyramids:
        """Reads the pyramids of training images, and keeps the last ones."""
        return cached_pyramids(self.features, self.settings.levels, self.keys[0], DEFAULT_MEMORY_GIB)

    def score(
        self, key: str, embedding: NDArray[np.float32], pyramid: Pyramid, device: str
    ) -> tuple[ImageScore, NDArray[np.float32]]:
        """The record and the anomaly map of an image, as a run computes them.

        `embedding` (D,) and `pyramid`, levels (H, W, C) finest first, have the type of stored features.
        """
        squared, positions = nearest(self.index, embedding[None], self._neighbors(len(self.keys)))
        return self._scored(key, squared[0], positions[0], self.keys, pyramid, device)

    def held_out_distances(self, position: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Squared distances and positions of the training images nearest to one of them, without itself.

        Images of the same content are left out as well. Positions count those that are left.
        """
        key = self.keys[position]
        others = np.flatnonzero(np.asarray(self.keys) != key)
        wanted = self._neighbors(len(others)) + len(self.keys) - len(others)
        query = np.asarray(self.index.reconstruct(position), dtype=np.float32)[None]
        squared, positions = nearest(self.index, query, wanted)
        left = np.isin(positions[0], others)
        wanted = self._neighbors(len(others))
        return squared[0][left][:wanted], np.searchsorted(others, positions[0][left])[:wanted]

    def score_held_out(self, position: int, device: str) -> tuple[ImageScore, NDArray[np.float32]]:
        """The record and the anomaly map of a training image, compared with the others."""
        key = self.keys[position]
        squared, positions = self.held_out_distances(position)
        others = [other for other in self.keys if other != key]
        return self._scored(key, squared, positions, others, self.pyramids.read(key), device)

    def _scored(
        self,
        key: str,
        squared: NDArray[np.float64],
        positions: NDArray[np.int64],
        train: Sequence[str],
        pyramid: Pyramid,
        device: str,
    ) -> tuple[ImageScore, NDArray[np.float32]]:
        def load(wanted: str) -> Pyramid:
            return pyramid if wanted == key else self.pyramids.read(wanted)

        pyramids = Pyramids(self.pyramids.strides, load)
        return score_image([self.settings], key, squared, positions, train, pyramids, device)[0]

    def _neighbors(self, rows: int) -> int:
        return min(max(self.settings.k_image, self.settings.k_gallery), rows)
