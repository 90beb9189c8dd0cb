"""What scores need of what else is computed, as the description that they are a digest of says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from storage.store.store import digest

TRAIN = "train"  # beside a description: the training images, which "training" is a digest of
CALIBRATION = "calibration"  # beside a description: keys of scores that give an ensemble its scales
_LEARNED_FROM = ("settings", "features", "training")


class Needs(NamedTuple):
    """Keys of other scores; of scores from features also the feature key, the gallery and the state key."""

    scores: tuple[str, ...]
    features: str | None = None
    gallery: str | None = None
    state: str | None = None


def needs(description: Mapping[str, Any]) -> Needs:
    """What the scores with this description need."""
    if "features" not in description:
        return Needs((*description["scores"], *description.get(CALIBRATION, ())))
    return Needs((), description["features"], description["training"], state_key(description))


def state_key(description: Mapping[str, Any]) -> str:
    """What is found by what scores were learned from: settings, features and training images."""
    return digest({name: description[name] for name in _LEARNED_FROM})
