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
from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.store import Store
from tasks.core.config import Configuration
from tasks.core.networks.traits import Preprocessing

Row = Mapping[str, Any]


class Source:
    """A published run. Its files may be gone since: what reads them returns the reason as a text."""

    def __init__(self, store: str, run: str) -> None:
        """Open a run by its id, or "latest"; StoreError if there is none."""
        self.results = Results(store)
        self.store = Store.open(store)
        self.run_id = self.results.resolve(run)
        self.run: Row = self.results.rows("run", self.run_id)[0]
        self.method = self.results.main_method(self.run_id)
        self.categories: Sequence[Row] = self.results.rows("categories", self.run_id, self.method)
        self.stages: Sequence[Row] = self.results.rows("stages", self.run_id)

    @cached_property
    def configuration(self) -> Configuration:
        """The run's settings, as far as they say what was evaluated and how."""
        names = ("backbone", "protocol", "k_image", "k_gallery", "kappa", "fusion", "upsampling", "distance")
        settings = {name: self.run[name] for name in (*names, "sigma", "metric_resolution")}
        return Configuration(levels=tuple(self.run["levels"]), **settings)

    @property
    def preprocessing(self) -> Preprocessing:
        """What each image went through."""
        return self.configuration.preprocessing

    @cached_property
    def summary(self) -> dict[str, Row]:
        """Averages over the categories, by metric."""
        return {row["metric"]: row for row in self.results.rows("summary", self.run_id, self.method)}

    @cached_property
    def manifest(self) -> Manifest:
        """The files of the dataset as the run saw them."""
        rows = self.results.rows("manifest", self.run_id)
        names = ImageFile.__dataclass_fields__
        entries = tuple(ImageFile(**{name: row[name] for name in names}) for row in rows)
        return Manifest(self.run["dataset"], entries)

    @cached_property
    def images(self) -> dict[str, list[Row]]:
        """Scored test images of each category, by image_id."""
        rows = self.results.rows("images", self.run_id, self.method)
        return _by([row for row in rows if row["score_key"] is not None], "category")

    @cached_property
    def neighbors(self) -> dict[str, list[Row]]:
        """Training images near each test image, nearest first."""
        return _by(self.results.rows("neighbors", self.run_id), "image_id")

    def scores(self, category: Row) -> Scores:
        """The scores of a row of the categories table."""
        return Scores(self.store, category["score_key"])

    @cached_property
    def features(self) -> Features:
        """The features that the run matched."""
        return Features(self.store, self.run["feature_key"])

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

    def anomaly_map(self, scores: Scores, entry: ImageFile) -> NDArray[np.float32] | str:
        """The anomaly map (R, R) of a test image, or why it cannot be shown."""
        try:
            return scores.anomaly_map(entry.key)
        except (KeyError, StoreError):
            return "the anomaly map is no longer in the store: evaluate the dataset again"

    def pyramid(self, entry: ImageFile) -> list[NDArray[Any]] | str:
        """The matched levels (H, W, C) of an image, or why they cannot be read."""
        try:
            return self.features.pyramid(entry.key, self.configuration.levels)
        except (KeyError, StoreError):
            return "the features are no longer in the store: evaluate the dataset again"


def _by(rows: Sequence[Row], name: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return dict(found)


def _since(error: UnreadableImageError) -> str:
    return str(error).replace("changed during the run", "changed since the run")
