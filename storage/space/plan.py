"""All that takes space in a store, and why some of it may go: one plan, shown or carried out."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from storage.computed.kinds import GROUPS, SEALED
from storage.computed.needs import needs
from storage.datasets.retention import Retention
from storage.errors import StoreError
from storage.results.index import Index
from storage.results.runs import is_accepted
from storage.results.schemas import INTERRUPTED
from storage.space.kept import PastRun, kept
from storage.space.listing import Listing, Taken
from storage.space.references import references
from storage.store.location import Location, read_bytes
from storage.store.sealed import parts
from storage.store.segments import Segments, descriptions
from storage.store.store import Store
from storage.store.under_way import seen

RUN = "run"
_DAY = 86_400.0
_RUN_COLUMNS = ("status", "dataset", "configuration_key", "worse", "sweep", "backbone", "feature_key")
_NOTHING = (None, None)
Of = tuple[str | None, str | None]  # a dataset and a backbone, where something is of one


@dataclass(frozen=True)
class Item:
    """Something that takes space, and stays or may go.

    Attributes:
        kind, name: what it is.
        size: its files.
        dataset, backbone: of which, where it is of one.
        why: why it may go; None if it stays.
        drop: removes it.
    """

    kind: str
    name: str
    size: Taken
    dataset: str | None = None
    backbone: str | None = None
    why: str | None = None
    drop: Callable[[], object] = bool


@dataclass(frozen=True)
class Plan:
    """What lies in a store.

    Attributes:
        items: each file is of one of them.
        kept: why each run that stays does.
        under_way: runs that work on the store, for which all that is computed stays.
    """

    items: Sequence[Item]
    kept: Mapping[str, str]
    under_way: Sequence[str]

    @property
    def going(self) -> list[Item]:
        """What may go."""
        return [item for item in self.items if item.why is not None]


def plan(store: Store, retention: Retention, now: float | None = None) -> Plan:
    """What lies in a store, and what of it may go at a time in seconds since 1970; nothing is changed.

    Raises:
        StoreError: something is damaged that tells what is needed: it has to be repaired first.
    """
    planner = _Planner(store, retention, time.time() if now is None else now)
    return Plan(tuple(planner.items()), planner.kept, sorted(planner.under_way))


class _Planner:
    """Looks first who is under way, then at the runs, then at the files: what comes later stays."""

    def __init__(self, store: Store, retention: Retention, now: float) -> None:
        self._store = store
        self._days = retention.days
        self._written_before = now - retention.days * _DAY
        self._seen = seen(store)
        self.under_way = frozenset[str]().union(*(each.runs for each in self._seen.living))
        self._index = Index(store)
        self._listing = Listing(store)
        self._records = {row["run"]: row for row in self._index.runs(_RUN_COLUMNS).to_pylist()}
        self._check_index()
        self._categories = self._index.rows("categories", ["category", "method", "score_key"]).to_pylist()
        busy = {each.dataset for each in self._seen.living}
        self.kept = kept(self._past_runs(), retention, busy)
        self._references = references(store, self._index, self.kept)
        self._backbones: dict[str, str | None] = {}
        self._scored: dict[str, Of] = {}
        self._owners: dict[Location, Of] = {}
        self._read_owners()

    def items(self) -> Iterator[Item]:
        """Every file, in one of them; what is named by others goes after these."""
        yield from self._unfinished()
        yield from self._runs()
        yield from self._alike()
        yield from self._metrics()
        yield from self._groups()
        yield from self._sealed()
        for path in self._listing.rest():
            kind = path.name if path.suffix else f"{path.name}/"
            if (size := self._listing.take([path])).files:
                yield Item(kind, path.name, size)

    def _check_index(self) -> None:
        """Raise StoreError if there are runs that the index does not tell of: nobody knows what they need."""
        published = (
            path.name
            for path in self._listing.entries(self._store.run())
            if self._listing.holds(self._store.run_table(path.name, "run"))
        )
        known = self._records.keys() | self._index.removed | self.under_way
        unknown = [run for run in published if run not in known]
        if unknown:
            raise StoreError(
                f"the index of runs in {self._store.root} does not tell of {', '.join(unknown)}: run "
                f"`spade repair --store '{self._store.root}'` first"
            )

    def _past_runs(self) -> Iterator[PastRun]:
        found: dict[str, set[tuple[str, str]]] = defaultdict(set)
        for row in self._categories:
            found[row["run"]].add((row["category"], row["method"]))
        for run, row in self._records.items():
            accepted = is_accepted(self._store, row)
            mark = "accepted" if accepted else None
            if self._listing.holds(self._store.pin(run)):
                mark = f"pinned: {read_bytes(self._store.pin(run)).decode()}"
            yield PastRun(
                run,
                row["finished"],
                row["dataset"],
                row["configuration_key"],
                row["status"] != INTERRUPTED,
                row["status"] == "complete" and (not row["worse"] or accepted),
                frozenset(found[run]),
                mark,
                row["sweep"],
            )

    def _if_old(self, size: Taken, why: str) -> str | None:
        return why if size.modified < self._written_before else None

    def _if_unneeded(self, size: Taken) -> str | None:
        """Why something computed that no kept run needs may go."""
        if self.under_way:
            return None
        return self._if_old(size, f"no kept run needs it, written more than {self._days} days ago")

    def _unfinished(self) -> Iterator[Item]:
        dead = list(self._seen.dead)
        if dead:
            drop = partial(self._store.discard, dead)
            yield Item("job", "locks", self._listing.take(dead), why="of processes that died", drop=drop)
        for path in self._listing.hidden():
            size = self._listing.take([path])
            why = self._if_old(size, "never written to its end")
            yield Item("unfinished", path.name, size, why=why, drop=partial(self._store.discard, [path]))
        for path in self._listing.entries(self._store.job()):
            size = self._listing.take([path])
            why = None if path.name in self.under_way else self._if_old(size, "of a run that died")
            yield Item("job", path.name, size, why=why, drop=partial(self._store.remove, [path]))

    def _runs(self) -> Iterator[Item]:
        """Runs, and what shows them."""
        for path in self._listing.entries(self._store.run()):
            size, record = self._listing.take([path]), self._records.get(path.name)
            if record is None:
                why = None if path.name in self.under_way else self._if_old(size, "never published")
                if path.name in self._index.removed:
                    why = "its removal was cut off"
                yield Item(RUN, path.name, size, why=why)
                continue
            why = None if path.name in self.kept else "[retention] keeps it no longer"
            yield Item(RUN, path.name, size, record["dataset"], record["backbone"], why)
        for path in self._listing.entries(self._store.report()):
            size = self._listing.take([path])
            about = self._records.get(path.name, {})
            why = None if path.name in self.kept else "its run goes"
            if not about:
                why = self._if_old(size, "its run is gone")
            of = about.get("dataset"), about.get("backbone")
            yield Item("report", path.name, size, *of, why, partial(self._store.remove, [path]))
        sweeps = {row["sweep"]: run in self.kept for run, row in self._records.items()}
        for path in self._store.reproductions(self._listing.entries):
            size = self._listing.take([path])
            why = None if sweeps.get(path.stem) else "its sweep goes"
            if path.stem not in sweeps:
                why = self._if_old(size, "its sweep is gone")
            yield Item("reproduction", path.stem, size, why=why, drop=partial(self._store.remove, [path]))

    def _alike(self) -> Iterator[Item]:
        """The names of scores; they go with these."""
        staying, going, paths = Taken(), Taken(), []
        for folder in self._listing.entries(self._store.alike()):
            for path in self._listing.entries(folder):
                size = self._listing.take([path])
                scores = self._store.scores(path.name.rpartition("~")[2])
                if scores not in self._references.images and self._if_unneeded(size):
                    going += size
                    paths.append(path)
                else:
                    staying += size
        if staying.files:
            yield Item("alike", "names of scores", staying)
        if paths:
            drop = partial(self._store.discard, paths)
            yield Item("alike", "names of scores", going, why=self._if_unneeded(going), drop=drop)

    def _metrics(self) -> Iterator[Item]:
        """Metrics of scores that are kept; those of others go with the scores."""
        for group in self._listing.entries(self._store.scores()):
            if group not in self._references.images:
                continue
            folder = self._store.metrics(group.name, "").parent
            for labels in sorted({path.stem for path in self._listing.entries(folder)}):
                paths = [self._store.metrics(group.name, labels, each) for each in ("json", "npz")]
                size = self._listing.take(paths)
                needed = paths[0] in self._references.files
                why = None if needed else self._if_unneeded(size)
                drop = partial(self._store.remove, paths)
                yield Item("metrics", labels, size, *self._of_group("scores", group.name), why, drop)

    def _groups(self) -> Iterator[Item]:
        for kind, groups in GROUPS.items():
            for group in groups(self._store, self._listing.entries):
                if group in self._references.images:
                    yield from self._segments(kind, group)
                    continue
                size, of = self._listing.take([group]), self._of_group(kind, group.name)
                why = None if group in self._references.groups else self._if_unneeded(size)
                drop = Segments(self._store, group).remove
                if size.files:
                    yield Item(kind, group.name, size, *of, why, drop)

    def _segments(self, kind: str, group: Location) -> Iterator[Item]:
        """A group that kept runs need, by dataset: the segments that hold none of their images may go."""
        segments, wanted = Segments(self._store, group), self._references.images[group]
        keys = segments.keys()
        _, backbone = self._of_group(kind, group.name)
        staying: dict[str | None, Taken] = defaultdict(Taken)
        going: dict[str | None, list[tuple[str, Taken]]] = defaultdict(list)
        datasets = self._references.datasets
        dataset = None
        for path in self._listing.entries(segments.segment()):
            size, images = self._listing.take([path]), keys.get(path.name, set())
            dataset = next((datasets[image] for image in sorted(images) if image in datasets), None)
            if wanted.isdisjoint(images) and self._if_unneeded(size):
                going[dataset].append((path.name, size))
            else:
                staying[dataset] += size
        staying[dataset] += self._listing.take([group])  # its records
        for of, size in staying.items():
            if size.files:
                yield Item(kind, group.name, size, of, backbone)
        for of, some in going.items():
            names, sizes = zip(*some, strict=True)
            size = sum(sizes, Taken())
            drop, why = partial(segments.drop, names), self._if_unneeded(size)
            yield Item(kind, f"{len(names)} segments of {group.name}", size, of, backbone, why, drop)

    def _sealed(self) -> Iterator[Item]:
        for kind, found in SEALED.items():
            for path in found(self._store, self._listing.entries):
                paths = parts(path)
                size = self._listing.take(paths)
                why = None if path in self._references.files else self._if_unneeded(size)
                of = self._owners.get(path, _NOTHING)
                yield Item(kind, path.stem, size, *of, why, partial(self._store.remove, paths))

    def _of_group(self, kind: str, key: str) -> Of:
        return (
            self._scored.get(key, _NOTHING)
            if kind in ("scores", "corrupted")
            else (None, self._backbones.get(key))
        )

    def _read_owners(self) -> None:
        """Dataset and backbone of scores by their key, and of the indices and states that they need."""
        groups = self._listing.entries(self._store.features())
        described = descriptions(self._store, groups)
        for group, description in zip(groups, described, strict=True):
            self._backbones[group.name] = description.get("backbone")
        datasets = {
            row["score_key"]: self._records[row["run"]]["dataset"]
            for row in self._categories
            if row["score_key"] is not None
        }
        groups = self._listing.entries(self._store.scores())
        found = {
            group.name: needs(description)
            for group, description in zip(groups, descriptions(self._store, groups), strict=True)
            if description
        }
        for key, needed in found.items():
            for other in needed.scores:
                datasets.setdefault(other, datasets.get(key))
        for key, needed in found.items():
            first = found.get(needed.scores[0]) if needed.scores else needed
            of = datasets.get(key), self._backbones.get(first.features or "") if first else None
            self._scored[key] = of
            if needed.features and needed.gallery and needed.state:
                index = self._store.index(needed.features, needed.gallery)
                self._owners |= {index: of, self._store.state(needed.state): of}
