"""What keeps a store quick after many nights."""

from __future__ import annotations

from collections.abc import Iterable

from storage.errors import StoreError
from storage.results.reader import Results
from storage.store.segments import Segments
from storage.store.store import Store
from storage.store.under_way import pruning


def merge_records(store: Store, runs: Iterable[str]) -> list[str]:
    """Merge the many small records that runs use, of looks, features and scores; the groups where it was so.

    Others may append and read meanwhile. A group that is damaged is left to `spade repair`.
    """
    results, groups = Results(store.root), {store.looks()}
    for run in runs:
        groups |= {store.features(row["feature_key"]) for row in results.rows("run", run)}
        keys = {row["score_key"] for row in results.rows("categories", run)} - {None}
        groups |= {folder for key in keys for folder in (store.scores(key), store.corrupted(key))}
    merged = []
    with pruning(store):
        for group in sorted(groups):
            try:
                merged += [str(group)] if Segments(store, group).merge() else []
            except StoreError:
                continue
    return merged
