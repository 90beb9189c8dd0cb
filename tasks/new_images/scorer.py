"""Scores of new images, by a finished run.

from tasks.new_images import Scorer

scorer = Scorer("spade-store", run="latest", category="bottle")
scorer.score("new.png").verdict
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.datasets.images import UnreadableImageError, decode_image
from storage.results.metrics import SCORE_RULES
from storage.store.store import DEFAULT_STORE
from tasks.core.errors import ConfigurationError
from tasks.core.networks.geometry import Preprocessing
from tasks.core.networks.preprocess import preprocess
from tasks.core.pictures.restore import restore
from tasks.core.settings import listed
from tasks.methods.matches import Match
from tasks.methods.scoring import Asked
from tasks.methods.thresholds import Rule, Threshold, threshold
from tasks.new_images.finished import Finished
from tasks.new_images.matches import Matcher

if TYPE_CHECKING:
    from tasks.core.networks.backbone import Backbone

DEFAULT_RATE = 0.01
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
        score_embedding: by the method's own rule; SPADE's is the mean of the K squared distances of
            embeddings (equation 2).
        score_map: mean of the highest 1 % of the anomaly map; None of a method that has none.
        threshold: above which the score of its rule counts as anomalous.
        verdict: "anomalous" or "normal"; None where there is no threshold.
        neighbors: the nearest training images, nearest first, where the method names them.
        anomaly_map: (R, R) at metric resolution; higher is more anomalous; None where there is none.
        image: (H, W, 3), as it was scored.
        asked: its features.
    """

    category: str
    score_embedding: float
    score_map: float | None
    threshold: Threshold
    verdict: Literal["anomalous", "normal"] | None
    neighbors: tuple[Neighbor, ...]
    anomaly_map: NDArray[np.float32] | None
    image: NDArray[np.uint8]
    preprocessing: Preprocessing
    asked: Asked

    def heat_map(self) -> NDArray[np.float32] | None:
        """The anomaly map (H, W) at the image's size; NaN outside the crop that is evaluated."""
        if self.anomaly_map is None:
            return None
        height, width = self.image.shape[:2]
        return restore(self.anomaly_map, self.preprocessing, height, width)


class Scorer:
    """Scores new images with the features, the index and the settings of a finished run.

    An image gets the very score that the run's table has for it: what the store has is read, and a new image
    goes through the same steps.
    """

    def __init__(
        self,
        store: str = DEFAULT_STORE,
        run: str = "latest",
        category: str | None = None,
        *,
        method: str | None = None,
        fpr: float | None = None,
        rule: Literal["embedding", "map"] = "embedding",
        weights: str | None = None,
        device: str = "cpu",
    ) -> None:
        """Open a run's category, which may be left out where the run has one.

        Args:
            store: folder or URL of the store.
            run: a run's id, or "latest".
            category: whose normal images new ones are compared with.
            method: of the run, as its tables name it; its first by default.
            fpr: false-positive rate of the thresholds, on normal images (`tasks/methods/thresholds.py`);
                that of the run by default, or `DEFAULT_RATE` if it has none.
            rule: which of the two scores gives the verdict.
            weights: file of the backbone's weights, where it is not the one that the run used any more.
            device: of torch.

        Raises:
            ConfigurationError: what is wrong with an argument, and the remedy.
            StoreError: no such run, or what it computed is gone, and the remedy.
        """
        if rule not in SCORE_RULES:
            raise ConfigurationError(f"rule is {rule!r}: it is one of {listed(list(SCORE_RULES))}")
        self.finished = Finished.of(store, run, category, method, device)
        self.scoring = self.finished.scoring
        if (refusal := self.scoring.refusal()) is not None:
            raise ConfigurationError(refusal)
        self._rule: Rule = rule
        self._rate = (self.finished.record["fpr"] or DEFAULT_RATE) if fpr is None else fpr
        self._weights = weights or self.finished.record["weights"]
        self._thresholds: dict[Rule, Threshold] = {}
        self.threshold(rule)

    @property
    def category(self) -> str:
        """Whose normal images new ones are compared with."""
        return self.scoring.part.category

    def score(self, image: Image) -> Scored:
        """Score a file's path, its bytes, or an RGB image (H, W, 3) uint8.

        Raises:
            UnreadableImageError: no file, or not an image that can be read; it says why.
            ConfigurationError: the weights of the run are gone or changed.
        """
        key, values = _read(image)
        asked = self._asked(key, values)
        record, anomaly_map = self.scoring.ask(asked)
        limit = self.threshold(self._rule)
        verdict: Literal["anomalous", "normal"] | None = None
        value = record.score_map if self._rule == "map" else record.score_embedding
        if limit.value is not None and value is not None:
            verdict = "anomalous" if value > limit.value else "normal"
        near = zip(record.neighbors, record.squared_distances, strict=True)
        return Scored(
            self.category,
            record.score_embedding,
            record.score_map,
            limit,
            verdict,
            tuple(Neighbor(self.finished.image_ids[position], distance) for position, distance in near),
            anomaly_map,
            values,
            self.scoring.part.job.configuration.preprocessing,
            asked,
        )

    def matches(self, scored: Scored) -> list[Match]:
        """Where the best match of the most anomalous position lies, one a matched grid; none without any."""
        if scored.anomaly_map is None or self._matcher is None:
            return []
        return self._matcher.find(scored.asked, scored.anomaly_map)

    @cached_property
    def _matcher(self) -> Matcher | None:
        return Matcher.of(self.scoring)

    def describe(self) -> dict[str, Any]:
        """What scores by this scorer mean: run, category, method, and the thresholds computed so far."""
        found = {rule: limit.about() for rule, limit in self._thresholds.items()}
        return {
            "run": self.finished.record["run"],
            "category": self.category,
            "method": self.scoring.method.label,
            "threshold": found[self._rule],
            "mask_threshold": found.get("pixel"),
        }

    def threshold(self, rule: Rule) -> Threshold:
        """The threshold of a score, computed once and kept in the store; "pixel" is that of `mask`."""
        if rule not in self._thresholds:
            self._thresholds[rule] = threshold(self.scoring, rule, self._rate)
        return self._thresholds[rule]

    def mask(self, scored: Scored) -> NDArray[np.bool_] | None:
        """The anomalous pixels (H, W) of an image; None where there is no map or no threshold.

        Those above the threshold of the highest pixel of normal maps: at the false-positive rate, a normal
        image has any. None is anomalous outside the crop that is evaluated.
        """
        heat = scored.heat_map()
        limit = None if heat is None else self.threshold("pixel").value
        return None if heat is None or limit is None else heat > limit  # NaN is not

    def _asked(self, key: str, image: NDArray[np.uint8]) -> Asked:
        """Embedding and levels of an image: those in the store, or new ones of their type."""
        part = self.scoring.part
        settings, features = part.job.configuration, part.features
        if key in features:
            return Asked(key, features.embeddings([key])[0], lambda names: features.pyramid(key, names))
        from tasks.core.networks.tiles import features as pass_through

        self._check_size(image)
        embeddings, levels = pass_through(
            self._backbone,
            [preprocess(image, settings.preprocessing)],
            settings.preprocessing,
            settings.grids,
            batch_size=part.job.batch_size,
            dtype=np.dtype(settings.dtype),
        )
        embedding = embeddings[0].astype(np.float32)
        return Asked(key, embedding, lambda names: [levels[name][0] for name in names])

    def _check_size(self, image: NDArray[np.uint8]) -> None:
        """Raise UnreadableImageError if an image becomes an input of another size than training images."""
        part = self.scoring.part
        how, training = part.job.configuration.preprocessing, part.manifest.train()[0]
        size = how.frame(*image.shape[:2]).size
        expected = how.frame(training.height or 1, training.width or 1).size
        if size != expected:
            raise UnreadableImageError(
                f"an image of {image.shape[0]}x{image.shape[1]} pixels becomes an input of "
                f"{size[0]}x{size[1]}, those of {part.category} became {expected[0]}x{expected[1]}: bring it "
                "to their aspect"
            )

    @cached_property
    def _backbone(self) -> Backbone:
        from tasks.network import network_of
        from tasks.weights import file_sha256, weights_file

        job, record = self.scoring.part.job, self.finished.record
        settings = job.configuration
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
        return network_of(settings, path, job.device)


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
