"""The verdict on each metric of one category of two runs, from differences on the same images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.computed.scores import Scores
from storage.results.metrics import COMPARED, Metric
from storage.store.store import Store
from tasks.core.config import EVALUATED_AREA
from tasks.core.metrics.bootstrap import pixel_differences
from tasks.core.metrics.intervals import Difference, Interval, holm, rocauc_difference
from tasks.core.metrics.profile import Profile

Row = dict[str, Any]
_Kind = tuple[str, str, tuple[str, ...]]  # split, what it says of its files, columns that say so

_DATA: tuple[_Kind, ...] = (
    ("train", "training images", ("sha256",)),
    ("test", "test images", ("sha256",)),
    ("test", "labels", ("sha256", "anomalous")),
)
_NONE = Difference(0.0, 0.0, 0.0, 1.0, None)
_PIXEL = [metric for metric in COMPARED if metric.level == "pixel"]
_MASKS: _Kind = ("test", "masks", ("sha256", "mask_sha256", "mask_threshold", "mask_reason"))


@dataclass(frozen=True)
class Category:
    """What a comparison needs of one category of a run: its row of each table, and the run's own."""

    run: str
    record: Mapping[str, Any]
    row: Mapping[str, Any]
    images: Sequence[Mapping[str, Any]]
    files: Sequence[Mapping[str, Any]]

    @property
    def failure(self) -> str | None:
        """Why the category has no metrics at all, or None."""
        return None if self.row["status"] == "ok" else f"it failed in run {self.run}: {self.row['reason']}"

    def contents(self, split: str, *columns: str) -> Counter[tuple[Any, ...]]:
        """The used files of a split by these columns, whatever they are called."""
        used = [row for row in self.files if row["split"] == split and row["status"] == "ok"]
        return Counter(tuple(row[name] for name in columns) for row in used)

    def scores(self, column: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Scores (N,) and labels (N,) of images with a label, in an order that their contents alone tell."""
        found = [
            (row["sha256"], row["anomalous"], row[column])
            for row in self.images
            if row["status"] == "ok" and row["split"] == "test"
        ]
        _, labels, values = zip(*sorted(found), strict=True)
        return np.array(values, dtype=np.float64), np.array(labels, dtype=bool)


def compare_category(
    store: Store, category: Category, reference: Category, *, gate: Mapping[str, float], seed: int
) -> Iterator[Row]:
    """Rows of a COMPARISONS table: the difference of each metric of the gate, its interval, its verdict.

    `gate` names the metrics, with the tolerance of each.
    """
    held = [metric for metric in COMPARED if metric.name in gate]
    differences: dict[str, Difference | str] = {}
    for metric in held:
        reason = _change(category, reference, metric)
        if reason is not None:
            differences[metric.name] = reason
        elif _identical(category, reference):
            differences[metric.name] = _NONE
        elif metric.level == "image":
            differences[metric.name] = image_difference(category, reference, metric)
        elif metric.name not in differences:
            differences = pixel_differences_of(store, category, reference, seed) | differences
    for metric in held:
        value, other = (side.row.get(metric.name) for side in (category, reference))
        row = about(category, metric) | {"reference_run": reference.run, "value": value, "reference": other}
        yield row | judged(value, other, differences[metric.name], gate[metric.name])


def judged(
    value: float | None, reference: float | None, difference: Difference | str, tolerance: float
) -> Row:
    """The columns of a paired test, and its verdict; `difference` says what is between them, or why not."""
    if value is None or reference is None or isinstance(difference, str):
        return {"verdict": "not comparable", "reason": difference}
    interval = difference.low, difference.high
    tested = {name: getattr(difference, name) for name in ("low", "high", "p_value", "detectable")}
    lost = value - reference
    return tested | {"difference": lost, "verdict": verdict(lost, interval, tolerance)}


def corrected(rows: Sequence[Row]) -> list[Row]:
    """Rows with their p-values adjusted for all rows of the same metric that have one."""
    tested: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.get("p_value") is not None:
            tested.setdefault(row["metric"], []).append(number)
    adjusted = {
        number: p_value
        for numbers in tested.values()
        for number, p_value in zip(numbers, holm([rows[each]["p_value"] for each in numbers]), strict=True)
    }
    return [row | {"p_adjusted": adjusted.get(number)} for number, row in enumerate(rows)]


def verdict(difference: float, interval: Interval, tolerance: float) -> str:
    """`worse` or `better` if a metric's difference exceeds the tolerance and chance, else `same`."""
    low, high = interval
    if abs(difference) <= tolerance or low <= 0 <= high:
        return "same"
    return "worse" if difference < 0 else "better"


def _change(category: Category, reference: Category, metric: Metric) -> str | None:
    """What else than its value has changed about a metric, so that the two cannot be compared."""
    failure = category.failure or reference.failure
    if failure is not None:
        return failure
    pixel = metric.level == "pixel"
    for split, what, columns in (*_DATA, _MASKS) if pixel else _DATA:
        now, then = (side.contents(split, *columns) for side in (category, reference))
        if now != then:
            return f"the {what} changed: {(now - then).total()} new, {(then - now).total()} gone"
    for setting in (*EVALUATED_AREA, "metric_resolution") if pixel else ():
        value, other = (side.record.get(setting) for side in (category, reference))
        if value != other:
            return f"other pixels are evaluated: {setting} is {value}, in the reference {other}"
    for side in (category, reference):
        if side.row.get(metric.name) is None:
            why = metric.reason(side.row)
            return f"run {side.run} has no such metric" + (f": {why}" if why else "")
    return None


def _identical(category: Category, reference: Category) -> bool:
    """Whether both are the same metrics of the same scores."""
    keys = [(side.row.get("score_key"), side.row.get("metrics_key")) for side in (category, reference)]
    return keys[0] == keys[1] and None not in keys[0]


def image_difference(category: Category, reference: Category, metric: Metric) -> Difference | str:
    """The difference of an image ROCAUC on the same images, or why chance cannot be told."""
    scores, anomalous = category.scores(metric.score)
    others, _ = reference.scores(metric.score)
    try:
        return rocauc_difference(scores, others, anomalous)
    except ValueError as error:
        return f"chance cannot be told: {error}"


def pixel_differences_of(
    store: Store, category: Category, reference: Category, seed: int
) -> dict[str, Difference | str]:
    """The difference of each pixel metric that both have, or why chance cannot be told."""
    values = {
        metric.measure: category.row[metric.name] - reference.row[metric.name]
        for metric in _PIXEL
        if category.row.get(metric.name) is not None and reference.row.get(metric.name) is not None
    }
    profiles = []
    for side in (category, reference):
        profile = _profile_of(store, side)
        if profile is None:
            reason = f"the scores of run {side.run} are no longer in the store"
            return {metric.name: reason for metric in _PIXEL}
        profiles.append(profile)
    found = pixel_differences(values, *profiles, seed=seed)
    if found is None:
        reason = "chance cannot be told: one kind of test image, with or without a region, has a single one"
        return {metric.name: reason for metric in _PIXEL}
    return {metric.name: found[metric.measure] for metric in _PIXEL if metric.measure in found}


def _profile_of(store: Store, category: Category) -> Profile | None:
    """The profile that was kept with the metrics, or None."""
    key, labels = category.row.get("score_key"), category.row.get("metrics_key")
    arrays = Scores(store, key).profile(labels) if key and labels else None
    return None if arrays is None else Profile(**arrays)


def about(category: Category, metric: Metric) -> Row:
    """What a row of a COMPARISONS table is about."""
    return {name: category.row[name] for name in ("dataset", "category", "method")} | {"metric": metric.name}
