"""Carry out a plan; killed at any moment, the next one goes on."""

from __future__ import annotations

from storage.datasets.retention import Retention
from storage.results.index import remove_runs
from storage.space.plan import RUN, Plan, plan
from storage.store.store import Store
from storage.store.under_way import pruning


def prune(store: Store, retention: Retention, now: float | None = None) -> Plan:
    """Remove what may go; what that was. Runs that begin meanwhile wait for the end.

    Raises:
        StoreError: something is damaged that tells what is needed; nothing was removed.
    """
    with pruning(store):
        found = plan(store, retention, now)
        if runs := [item.name for item in found.going if item.kind == RUN]:
            remove_runs(store, runs)
        for item in found.going:
            item.drop()
    return found
