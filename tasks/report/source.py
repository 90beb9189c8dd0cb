"""What a report is made of: the tables of a published run, its maps and features, the dataset's files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.features import Features
from storage.computed.scores import Scores
from storage.datasets.dataset import Dataset, read_image, read_mask
from storage.datasets.images import UnreadableImageError
from storage.datasets.manifest import ImageFile, Manifest
from storage.errors import StoreError, UnreachableStoreError
from storage.results.metrics import METRICS, OCCASIONAL, Metric
from storage.results.reader import Results
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.methods.interface import Method, Training
from tasks.core.methods.registry import parse_method
from tasks.core.networks.geometry import Preprocessing
from tasks.core.networks.traits import Level
from tasks.run.tables import configuration_of

Row = Mapping[str, Any]
NO_FEATURES = "the features are no longer in the store: evaluate the dataset again"
NO_MAP = "the anomaly map is no longer in the store: evaluate the dataset again"


class Source:
    """A published run, as one of its methods scored it.

    Its files may be gone since: what reads them returns the reason as a text.
    """

    def __init__(self, store: str, run: str, method: str | None = None) -> None:
        """Open a run by its id, or "latest", and one of its methods, or its first.

        Raises:
            StoreError: no such run, it was interrupted, or it was not scored by the method.
            ConfigurationError: a text that is no method's.
        """
        self.results = Results(store)
        self.store = Store.open(store)
        self.run_id = self.results.resolve(run)
        self.run: Row = self.results.rows("run", self.run_id)[0]
        self.every_category: Sequence[Row] = self.results.rows("categories", self.run_id)
        named = None if method is None else parse_method(method).label
        self.label = self.results.method(self.run_id, named)
        self.method: Method = parse_method(self.label)
        self.categories = [row for row in self.every_category if row["method"] == self.label]
        self._operating: dict[str, list[Row]] = {}
        self.stages: Sequence[Row] = self.results.rows("stages", self.run_id)

    @cached_property
    def configuration(self) -> Configuration:
        """What the run's methods have in common."""
        return configuration_of(self.run)

    def settled(self, images: int | None = None) -> Method:
        """The method with all that it left open settled; K for that many training images."""
        return self.method.settled(self.configuration.grids, images)

    @property
    def preprocessing(self) -> Preprocessing:
        """What each image went through."""
        return self.configuration.preprocessing

    @cached_property
    def metrics(self) -> dict[str, str]:
        """Titles of the shown metrics that the method can have, by column."""
        return {
            metric.name: metric.title
            for metric in METRICS
            if (metric.shown or self._has(metric)) and (self.method.has_map or metric.rule == "embedding")
        }

    def _has(self, metric: Metric) -> bool:
        """Whether it is shown where a category has it, and one does."""
        return metric in OCCASIONAL and any(row.get(metric.name) is not None for row in self.categories)

    @cached_property
    def summaries(self) -> dict[str, dict[str, Row]]:
        """Averages over the categories, by method and metric."""
        found: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in self.results.rows("summary", self.run_id):
            found[row["method"]][row["metric"]] = row
        return dict(found)

    @property
    def summary(self) -> dict[str, Row]:
        """Averages over the categories, by metric."""
        return self.summaries[self.label]

    @cached_property
    def manifest(self) -> Manifest:
        """The files of the dataset as the run saw them."""
        rows = self.results.rows("manifest", self.run_id)
        names = ImageFile.__dataclass_fields__
        entries = tuple(ImageFile(**{name: row[name] for name in names if name in row}) for row in rows)
        return Manifest(self.run["dataset"], entries)

    @cached_property
    def images(self) -> dict[str, list[Row]]:
        """Scored test images of each category."""
        rows = self.results.rows("images", self.run_id, self.label)
        return _by(
            [row for row in rows if row["score_key"] is not None and row["split"] != "validation"], "category"
        )

    def operating(self, table: str) -> list[Row]:
        """Rows of a table of the operating point; none without one."""
        if table not in self._operating:
            self._operating[table] = list(self.results.rows(table, self.run_id, self.label))
        return self._operating[table]

    def no_point(self, category: str) -> str:
        """Why a category has no pixel threshold of an operating point."""
        rows = [row for row in self.operating("operating") if row["category"] == category]
        reasons = [row["reason"] for row in rows if row["rule"] == "pixel"]
        return str(reasons[0]) if reasons else "no false-positive rate was named"

    @cached_property
    def regions(self) -> dict[str, list[Row]]:
        """Anomalous regions at the operating point by image_id, those of the highest peaks first."""
        return _by(self.operating("regions"), "image_id")

    @cached_property
    def neighbors(self) -> dict[str, list[Row]]:
        """Training images near each test image, nearest first, by image_id; empty if none are named."""
        return _by(self.results.rows("neighbors", self.run_id, self.label), "image_id")

    def scores(self, category: Row) -> Scores:
        """The scores of a row of the categories table."""
        return Scores(self.store, category["score_key"])

    @cached_property
    def features(self) -> Features:
        """The features that the run scored from."""
        return Features(self.store, self.run["feature_key"])

    def training(self, entries: Sequence[ImageFile]) -> Training | str:
        """Embeddings and keys of a category's training images, or why they cannot be read."""
        keys = [entry.key for entry in entries]
        embeddings = self._embeddings(keys)
        if isinstance(embeddings, str):
            return embeddings
        return Training(embeddings, lambda _: (), keys=keys)

    def embedding(self, entry: ImageFile) -> NDArray[np.float32] | str:
        """The embedding (D,) of an image, or why it cannot be read."""
        found = self._embeddings([entry.key])
        return found if isinstance(found, str) else found[0]

    def pyramid(self, entry: ImageFile, levels: Sequence[Level]) -> list[NDArray[Any]] | str:
        """These levels (H, W, C) of an image, or why they cannot be read."""
        try:
            return self.features.pyramid(entry.key, levels)
        except UnreachableStoreError:
            raise
        except (KeyError, StoreError):
            return NO_FEATURES

    def anomaly_map(self, scores: Scores, entry: ImageFile) -> NDArray[np.float32] | str:
        """The anomaly map (R, R) of a test image by a method that has maps, or why it cannot be shown."""
        try:
            return scores.anomaly_map(entry.key)
        except UnreachableStoreError:
            raise
        except (KeyError, StoreError):
            return NO_MAP

    def image(self, entry: ImageFile) -> NDArray[np.uint8] | str:
        """An image (H, W, 3), or why it cannot be shown."""
        try:
            return read_image(Dataset.of_run(self.run), entry)
        except UnreadableImageError as error:
            return _since(error)

    def mask(self, entry: ImageFile) -> NDArray[np.bool_] | str:
        """The mask (H, W) of an entry that has a usable one, or why it cannot be shown."""
        try:
            return read_mask(Dataset.of_run(self.run), entry)
        except UnreadableImageError as error:
            return _since(error)

    def _embeddings(self, keys: Sequence[str]) -> NDArray[np.float32] | str:
        try:
            return self.features.embeddings(keys)
        except UnreachableStoreError:
            raise
        except (KeyError, StoreError):
            return NO_FEATURES


def _by(rows: Sequence[Row], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return dict(found)


def _since(error: UnreadableImageError) -> str:
    return str(error).replace("changed during the run", "changed since the run")
