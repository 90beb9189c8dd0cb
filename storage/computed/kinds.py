"""The kinds of what is computed, and where each lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.store.location import Location
from storage.store.store import Entries, Store

GROUPS: Mapping[str, Callable[[Store, Entries], list[Location]]] = {  # of segments
    "features": lambda store, entries: entries(store.features()),
    "scores": lambda store, entries: entries(store.scores()),
    "corrupted": lambda store, entries: entries(store.corrupted()),
    "looks": lambda store, _: [store.looks()],
}
SEALED: Mapping[str, Callable[[Store, Entries], list[Location]]] = {  # files with a seal beside them
    "index": Store.indices,
    "state": Store.states,
}
