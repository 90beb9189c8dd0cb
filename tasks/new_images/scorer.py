"""Scores of new images, by a finished run.

from tasks.new_images.scorer import Scorer

scorer = Scorer("spade-store", run="latest", category="bottle")
scorer.score("new.png").verdict
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from storage.datasets.images import UnreadableImageError, decode_image
from storage.results.schemas import SCORE_RULES
from storage.store.store import DEFAULT_STORE
from tasks.core.errors import ConfigurationError
from tasks.core.metrics.ranking import map_score
from tasks.core.networks.backbone import Backbone
from tasks.core.networks.preprocess import preprocess
from tasks.core.networks.traits import Preprocessing
from tasks.core.pictures.restore import restore
from tasks.new_images.normal_images import NormalImages
from tasks.new_images.thresholds import Rule, Threshold, threshold
from tasks.weights import file_sha256, read_state_dict, weights_file

Image = str | Path | bytes | NDArray[np.uint8]


@dataclass(frozen=True)
class Neighbor:
    """A training image near a new one: its path below the dataset's root, and how far it is."""

    image_id: str
    squared_distance: float


@dataclass(frozen=True)
class Scored:
    """What a run says of a new image.

    Attributes:
        category: whose normal images it was compared with.
        score_embedding: mean of the K squared distances of embeddings (equation 2).
        score_map: mean of the highest 1 % of the anomaly map.
        threshold: above which the score of its rule counts as anomalous.
        verdict: "anomalous" or "normal"; None where there is no threshold.
        neighbors: the nearest training images, nearest first.
        anomaly_map: (R, R) at metric resolution; higher is more anomalous.
        image: (H, W, 3), as it was scored.
    """

    category: str
    score_embedding: float
    score_map: float
    threshold: Threshold
    verdict: Literal["anomalous", "normal"] | None
    neighbors: tuple[Neighbor, ...]
    anomaly_map: NDArray[np.float32]
    image: NDArray[np.uint8]
    preprocessing: Preprocessing

    def heat_map(self) -> NDArray[np.float32]:
        """The anomaly map (H, W) at the image's size; NaN outside the crop that is evaluated."""
        height, width = self.image.shape[:2]
        return restore(self.anomaly_map, self.preprocessing, height, width)


class Scorer:
    """Scores new images with the features, the index and the settings of a finished run.

    An image gets the very score that the run's table has for it: what the store has is read, and a new image
    goes through the same steps. Read are the embeddings of the training images, and the pyramids of the K
    that are nearest.
    """

    def __init__(
        self,
        store: str = DEFAULT_STORE,
        run: str = "latest",
        category: str | None = None,
        *,
        fpr: float = 0.01,
        rule: Literal["embedding", "map"] = "embedding",
        weights: str | None = None,
        device: str = "cpu",
    ) -> None:
        """Open a run's category, which may be left out where the run has one.

        Args:
            store: folder of the store.
            run: a run's id, or "latest".
            category: whose normal images new ones are compared with.
            fpr: false-positive rate of the thresholds, on normal images (see `thresholds.py`).
            rule: which of the two scores gives the verdict.
            weights: file of the backbone's weights, where it is not the one that the run used any more.
            device: of torch.

        Raises:
            ConfigurationError: what is wrong with an argument, and the remedy.
            StoreError: no such run, or what it computed is gone, and the remedy.
        """
        if rule not in SCORE_RULES:
            raise ConfigurationError(f"rule is {rule!r}: it is one of {', '.join(SCORE_RULES)}")
        self.normal = NormalImages.of(store, run, category)
        self._rule: Rule = rule
        self._rate = fpr
        self._weights = weights or self.normal.record.get("weights")
        self._device = device
        self._thresholds: dict[Rule, Threshold] = {}
        self.threshold(rule)

    def score(self, image: Image) -> Scored:
        """Score a file's path, its bytes, or an RGB image (H, W, 3) uint8.

        Raises:
            UnreadableImageError: no file, or not an image that can be read; it says why.
            ConfigurationError: the weights of the run are gone or changed.
        """
        key, values = _read(image)
        embedding, pyramid = self._features(key, values)
        record, anomaly_map = self.normal.score(key, embedding, pyramid, self._device)
        by_map = map_score(anomaly_map)
        limit = self.threshold(self._rule)
        verdict: Literal["anomalous", "normal"] | None = None
        if limit.value is not None:
            found = by_map if self._rule == "map" else record.score_embedding
            verdict = "anomalous" if found > limit.value else "normal"
        return Scored(
            self.normal.category,
            record.score_embedding,
            by_map,
            limit,
            verdict,
            tuple(
                Neighbor(self.normal.image_ids[position], distance)
                for position, distance in zip(record.neighbors, record.squared_distances, strict=True)
            ),
            anomaly_map,
            values,
            self.normal.settings.preprocessing,
        )

    def describe(self) -> dict[str, Any]:
        """What scores by this scorer mean: run, category, and the thresholds computed so far."""
        record = self.normal.record
        found = {rule: asdict(limit) for rule, limit in self._thresholds.items()}
        return {
            "run": record["run"],
            "category": self.normal.category,
            "threshold": found[self._rule],
            "mask_threshold": found.get("pixel"),
        }

    def threshold(self, rule: Rule) -> Threshold:
        """The threshold of a score, computed once and kept in the store; "pixel" is that of `mask`."""
        if rule not in self._thresholds:
            self._thresholds[rule] = threshold(self.normal, rule, self._rate, self._device)
        return self._thresholds[rule]

    def mask(self, scored: Scored) -> NDArray[np.bool_] | None:
        """The anomalous pixels (H, W) of an image; None where there is no threshold.

        Those above the threshold of the highest pixel of normal maps: at the false-positive rate, a normal
        image has any. None is anomalous outside the crop that is evaluated.
        """
        limit = self.threshold("pixel").value
        return None if limit is None else scored.heat_map() > limit  # NaN is not

    def _features(self, key: str, image: NDArray[np.uint8]) -> tuple[NDArray[np.float32], list[NDArray[Any]]]:
        """Embedding (D,) and levels (H, W, C) of an image: those in the store, or new ones of their type."""
        settings, features = self.normal.settings, self.normal.features
        if key in features:
            return features.embeddings([key])[0], features.pyramid(key, settings.levels)
        values = preprocess(image, settings.preprocessing)
        embeddings, levels = self._backbone(torch.from_numpy(values[None]))
        dtype = np.dtype(settings.dtype)
        embedding = embeddings[0].numpy().astype(dtype).astype(np.float32)
        return embedding, [levels[stride][0].numpy().astype(dtype) for stride in settings.levels]

    @cached_property
    def _backbone(self) -> Backbone:
        settings, record = self.normal.settings, self.normal.record
        try:
            path = weights_file(settings.backbone, self._weights)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}: run {record['run']} used it; restore it, or name a copy with --weights"
            ) from error
        if file_sha256(path) != record["weights_sha256"]:
            raise ConfigurationError(
                f"weights is {str(path)!r}: not the file that run {record['run']} used, whose SHA-256 is "
                f"{record['weights_sha256']}: name that one with --weights, or evaluate with this one"
            )
        return Backbone(settings.backbone, read_state_dict(path), self._device, settings.precision)


def _read(image: Image) -> tuple[str, NDArray[np.uint8]]:
    """The key of an image and its pixels (H, W, 3); an array's key is the digest of its pixels."""
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise UnreadableImageError(
                f"an array of shape {image.shape} and type {image.dtype}: give (H, W, 3) uint8, RGB"
            )
        return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest(), image
    if not isinstance(image, bytes):
        try:
            image = Path(image).read_bytes()
        except OSError as error:
            raise UnreadableImageError(f"{error.filename}: {error.strerror}") from error
    return hashlib.sha256(image).hexdigest(), decode_image(image)[0]
