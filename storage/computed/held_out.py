"""Scores of held-out training images, kept beside the scores of their key."""

from __future__ import annotations

import json
from collections.abc import Mapping

from storage.store.location import read_bytes
from storage.store.store import Store, digest


def read_held_out(store: Store, score_key: str) -> dict[str, dict[str, float]]:
    """Score by rule and SHA-256; empty where none are kept or the file is damaged."""
    try:
        kept = json.loads(read_bytes(store.held_out(score_key)))
        return dict(kept["scores"]) if kept["digest"] == digest(kept["scores"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_held_out(store: Store, score_key: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Keep scores by rule and SHA-256, in place of those kept before."""
    content = json.dumps({"digest": digest(scores), "scores": scores}, sort_keys=True, allow_nan=False)
    store.write(store.held_out(score_key), content.encode())
