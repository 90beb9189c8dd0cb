from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from storage.computed.features import Features
from storage.store.location import read_bytes
from storage.store.store import Store

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(4)]
RNG = np.random.default_rng(0)
EMBEDDINGS = RNG.normal(size=(4, 7)).astype(np.float16)
FINE = RNG.normal(size=(4, 6, 5, 3)).astype(np.float16)
COARSE = RNG.normal(size=(4, 3, 2, 8)).astype(np.float16)


@pytest.fixture
def features(store: Store) -> Features:
    """Features of the first two keys."""
    features = Features(store, "key")
    features.append(KEYS[:2], EMBEDDINGS[:2], {4: FINE[:2], 8: COARSE[:2]})
    return features


def test_keys_without_a_record_are_missing_each_once_in_their_order(features: Features) -> None:
    wanted = [KEYS[3], KEYS[0], KEYS[2], KEYS[3], KEYS[1]]
    assert features.missing(wanted) == [KEYS[3], KEYS[2]]
    assert features.missing([]) == []


def test_what_another_process_appended_is_not_missing(store: Store, features: Features) -> None:
    assert features.missing(KEYS) == KEYS[2:]
    Features(store, "key").append(KEYS[2:], EMBEDDINGS[2:], {4: FINE[2:], 8: COARSE[2:]})
    assert features.missing(KEYS) == []


def test_embeddings_are_float32_in_the_order_of_their_keys(store: Store, features: Features) -> None:
    features.append(KEYS[2:], EMBEDDINGS[2:], {4: FINE[2:]})
    found = Features(store, "key").embeddings([KEYS[3], KEYS[0], KEYS[0]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, EMBEDDINGS[[3, 0, 0]].astype(np.float32))


def test_levels_come_in_the_order_of_their_names(features: Features) -> None:
    coarse, fine = features.pyramid(KEYS[1], [8, 4])
    assert coarse.dtype == np.float16
    np.testing.assert_array_equal(coarse, COARSE[1])
    np.testing.assert_array_equal(fine, FINE[1])


def test_features_of_another_key_are_apart(store: Store, features: Features) -> None:
    assert features.missing(KEYS[:2]) == []
    assert Features(store, "other").missing(KEYS[:2]) == KEYS[:2]


def test_what_overflows_float16_is_refused_and_stays_missing(features: Features) -> None:
    with np.errstate(over="ignore"):
        overflow = np.full((1, 6, 5, 3), 1e6).astype(np.float16)
    with pytest.raises(ValueError, match=r"level_4 .*float16.*--dtype float32"):
        features.append(KEYS[2:3], EMBEDDINGS[2:3], {4: overflow})
    assert features.missing(KEYS[:3]) == [KEYS[2]]


def test_the_description_lies_beside_the_rows(store: Store, features: Features) -> None:
    features.describe({"backbone": "resnet18"})
    assert json.loads(read_bytes(store.features("key") / "group.json")) == {"backbone": "resnet18"}
