from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import numpy as np
import pytest
from tampering import delete, overwrite, replace

from storage.computed.scores import ImageScore, Scores
from storage.store.location import Location, read_bytes
from storage.store.store import Store

KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(3)]
MAPS = np.random.default_rng(0).normal(size=(3, 9, 9)).astype(np.float32)
PROFILE = {"counts": np.arange(6, dtype=np.uint32).reshape(2, 3), "overlap": np.array([0.1, 0.7])}
METRICS = {"image_rocauc_map": 0.987654321, "pro": None, "pixel_reason": "no mask", "pixel_images": 3}


@pytest.fixture
def scores(store: Store) -> Scores:
    """Scores of the first two keys."""
    scores = Scores(store, "key")
    scores.append([score(0), score(1)], MAPS[:2])
    return scores


def score(number: int) -> ImageScore:
    return ImageScore(KEYS[number], 0.1 + number, 1 / 3, [5, 0, 2], [0.1, 0.2, 0.7 + number])


def test_records_and_maps_come_back_as_they_were_written(store: Store, scores: Scores) -> None:
    scores.append([score(2)], MAPS[2:])
    found = Scores(store, "key")
    for number, key in enumerate(KEYS):
        assert found.read(key) == score(number)
        np.testing.assert_array_equal(found.anomaly_map(key), MAPS[number])
    assert found.anomaly_map(KEYS[0]).dtype == np.float32


def test_keys_without_a_record_are_missing_each_once_in_their_order(scores: Scores) -> None:
    assert scores.missing([KEYS[2], KEYS[0], KEYS[2]]) == [KEYS[2]]


def test_what_another_process_appended_is_not_missing(store: Store, scores: Scores) -> None:
    assert scores.missing(KEYS) == KEYS[2:]
    Scores(store, "key").append([score(2)], MAPS[2:])
    assert scores.missing(KEYS) == []


def test_an_image_without_scores_is_no_key(scores: Scores) -> None:
    with pytest.raises(KeyError, match=KEYS[2]):
        scores.read(KEYS[2])
    with pytest.raises(KeyError, match=KEYS[2]):
        scores.anomaly_map(KEYS[2])


def test_a_map_that_is_not_finite_is_refused(scores: Scores) -> None:
    with pytest.raises(ValueError, match="map has values"):
        scores.append([score(2)], np.full((1, 9, 9), np.nan, np.float32))
    assert scores.missing(KEYS) == KEYS[2:]


def test_the_description_lies_beside_the_rows(store: Store, scores: Scores) -> None:
    scores.describe({"kappa": 1})
    assert json.loads(read_bytes(store.scores("key") / "group.json")) == {"kappa": 1}


def test_metrics_are_kept_for_the_same_labels(store: Store, scores: Scores) -> None:
    assert scores.metrics("labels") is None
    scores.write_metrics("labels", METRICS)
    assert Scores(store, "key").metrics("labels") == METRICS
    assert scores.metrics("others") is None
    assert Scores(store, "other").metrics("labels") is None


def test_the_arrays_of_metrics_come_back_as_they_were_written(store: Store, scores: Scores) -> None:
    scores.write_metrics("labels", METRICS, PROFILE)
    found = Scores(store, "key").profile("labels")
    assert found is not None
    assert found.keys() == PROFILE.keys()
    for name, values in PROFILE.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    assert Scores(store, "key").metrics("labels") == METRICS


def test_metrics_without_arrays_have_none(scores: Scores) -> None:
    scores.write_metrics("labels", METRICS)
    assert scores.profile("labels") is None
    assert scores.profile("others") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:0], None])
def test_metrics_whose_arrays_are_damaged_or_gone_are_computed_again(
    store: Store, scores: Scores, damage: Callable[[bytes], bytes] | None
) -> None:
    scores.write_metrics("labels", METRICS, PROFILE)
    path = store.metrics("key", "labels", "npz")
    if damage is None:
        delete(path)
    else:
        overwrite(path, damage(read_bytes(path)))
    assert scores.metrics("labels") is None
    assert scores.profile("labels") is None


def test_metrics_are_marked_complete_after_their_arrays(
    scores: Scores, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = Store.write

    def spy(self: Store, path: Location, content: bytes) -> None:
        written.append(path.suffix)
        write(self, path, content)

    monkeypatch.setattr(Store, "write", spy)
    scores.write_metrics("labels", METRICS, PROFILE)
    assert written == [".npz", ".json"]


@pytest.mark.parametrize("content", [b"", b'{"pro": 0.9', b"\xff\xfe"])
def test_damaged_metrics_are_computed_again(store: Store, scores: Scores, content: bytes) -> None:
    scores.write_metrics("labels", METRICS)
    overwrite(store.metrics("key", "labels"), content)
    assert scores.metrics("labels") is None


def test_metrics_with_a_flipped_digit_are_computed_again(store: Store, scores: Scores) -> None:
    scores.write_metrics("labels", METRICS)
    replace(store.metrics("key", "labels"), b"0.98", b"0.99")
    assert scores.metrics("labels") is None


def test_a_metric_that_is_not_a_number_is_refused(scores: Scores) -> None:
    with pytest.raises(ValueError, match="JSON"):
        scores.write_metrics("labels", {"pro": float("nan")})
    assert scores.metrics("labels") is None
