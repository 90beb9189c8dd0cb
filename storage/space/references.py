"""What runs need of what is computed: all that their tables name, and what that needs in turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from storage.computed.needs import needs
from storage.datasets.manifest import OK
from storage.errors import DamagedStoreError
from storage.results.index import Index
from storage.results.schemas import INTERRUPTED
from storage.store.location import Location
from storage.store.segments import descriptions
from storage.store.store import Store
from storage.store.tables import parse_table


@dataclass(frozen=True)
class References:
    """What some runs need.

    Attributes:
        images: SHA-256 of the images whose rows are needed, by group of segments.
        groups: those of which all is needed.
        files: indices, states and metrics.
        datasets: the dataset of each image.
    """

    images: Mapping[Location, set[str]]
    groups: set[Location]
    files: set[Location]
    datasets: Mapping[str, str]


def references(store: Store, index: Index, runs: Collection[str]) -> References:
    """All that runs need; an interrupted one needs nothing.

    Raises:
        DamagedStoreError: a manifest, or a statement of what scores are, is damaged or absent.
    """
    images: dict[Location, set[str]] = defaultdict(set)
    files: set[Location] = set()
    datasets: dict[str, str] = {}
    records = {row["run"]: row for row in _whole(index) if row["run"] in runs}
    manifests = _images(store, records)
    for run, record in records.items():
        datasets |= dict.fromkeys(manifests[run], record["dataset"])
        for group in (store.features(record["feature_key"]), store.looks()):
            images[group] |= manifests[run]
    scored: dict[str, set[str]] = defaultdict(set)
    for row in index.rows("categories", ["score_key", "metrics_key"]).to_pylist():
        if row["run"] in records and row.get("score_key") is not None:
            scored[row["score_key"]] |= manifests[row["run"]]
            if row.get("metrics_key") is not None:
                files |= {
                    store.metrics(row["score_key"], row["metrics_key"], each) for each in ("json", "npz")
                }
    groups = {store.corrupted(key) for key in scored}
    while scored:
        keys, more = list(scored), defaultdict[str, set[str]](set)
        for key, description in zip(keys, descriptions(store, [*map(store.scores, keys)]), strict=True):
            if not scored[key] - images[store.scores(key)]:
                continue
            images[store.scores(key)] |= scored[key]
            if not description:
                continue
            needed = needs(description)
            for other in needed.scores:
                more[other] |= scored[key]
            if needed.features is not None and needed.gallery is not None and needed.state is not None:
                files |= {store.index(needed.features, needed.gallery), store.state(needed.state)}
        scored = more
    return References(images, groups, files, datasets)


def _whole(index: Index) -> list[dict[str, Any]]:
    """The records of the runs that have tables."""
    records = index.records(["status", "dataset", "feature_key"]).to_pylist()
    return [row for row in records if row["status"] != INTERRUPTED]


def _images(store: Store, runs: Collection[str]) -> dict[str, set[str]]:
    """SHA-256 of the images that each run used."""
    paths = [store.run_table(run, "manifest") for run in runs]
    found = {}
    for run, path, content in zip(runs, paths, store.read_present(paths), strict=True):
        try:
            if content is None:
                raise FileNotFoundError("it is absent")
            files = parse_table(content, ["sha256", "status"])
            found[run] = set(files["sha256"].filter(pc.equal(files["status"], OK)).to_pylist())
        except (OSError, ValueError, KeyError) as error:
            raise DamagedStoreError(path, error, store.root) from error
    return found
