"""An index of the runs: what their folders say, in a few files, so that ten thousand cost what ten do.

    index/TABLE-NUMBER.parquet   the rows of all runs of an indexed table, as of folding NUMBER; `runs` last
    index/RUN~TOKEN.changed      a mark: what this run is only its folder tells
    index/RUN~TOKEN.removed      a mark: this run is no more, and what is left of its folder is to go

The folders are the truth. A mark is written before a run's folder changes, and a reader asks the folders of
marked runs: a crash, at any moment, leaves nothing that the index is wrong about. When there are many marks,
whoever publishes folds what these folders say into new files, and then removes the marks. An index that is
absent or damaged is as one in which every run is marked.

What is published first takes no lock: the mark of a run without a record stays. What is there already is
changed with the lock that a folding holds, too (`changing`, `remove_runs`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import DamagedStoreError, LostLockError, StoreError
from storage.results.schemas import INTERRUPTED
from storage.store.location import Location, read_bytes
from storage.store.lock import BusyError, exclusive
from storage.store.store import Store
from storage.store.tables import parse_table, read_columns, read_table, table_bytes, texts

INDEXED = ("categories", "stages")  # tables of which the index has the rows of all runs
ACCEPTED = "accepted"  # column of the index alone; null of a run that only its folder tells of
_LOCK = "index"
_RUNS = "runs"
_CHANGED, _REMOVED = "changed", "removed"
_MARKS = 32  # with as many, the next publication folds
_UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, TypeError)
_ORDER = [("finished", "ascending"), ("run", "ascending")]


def published_runs(store: Store) -> list[str]:
    """Ids of the runs whose run table is there, by a walk through all folders."""
    return [folder.name for folder in store.holding(store.run(), store.run_table("", "run").name)]


def nothing_published(store: Store) -> StoreError:
    """That a store has no run to read."""
    return StoreError(f"the store {store.root} has no finished run yet: start one with `spade evaluate`")


class _Look(NamedTuple):
    """What lies in the index.

    `number` is that of the last folding, 0 if there is none; `files` are those of all; `marks` are by run.
    """

    number: int
    files: list[Location]
    changed: dict[str, list[Location]]
    removed: dict[str, list[Location]]

    @classmethod
    def at(cls, store: Store) -> _Look:
        files = []
        changed: dict[str, list[Location]] = {}
        removed: dict[str, list[Location]] = {}
        for path in store.entries(store.index_of_runs()):
            run, is_mark, _ = path.stem.rpartition("~")
            if is_mark:
                (removed if path.suffix == f".{_REMOVED}" else changed).setdefault(run, []).append(path)
            else:
                files.append(path)
        numbers = [_number(path) for path in files if path.name.startswith(f"{_RUNS}-")]
        return cls(max(numbers, default=0), files, changed, removed)

    @property
    def is_due(self) -> bool:
        """Whether it is time to fold."""
        return not self.number or bool(self.removed) or len(self.changed) >= _MARKS


class Index:
    """The runs as they are at one look."""

    def __init__(self, store: Store) -> None:
        """Look at the index, and at the folders of the runs that it does not tell of."""
        self._store = store
        self._look()

    @property
    def removed(self) -> frozenset[str]:
        """Runs that are no more, and of whose folders something may be left."""
        return frozenset(self._at.removed)

    def runs(self, columns: Sequence[str] | None = None, *, sound: bool = False) -> pa.Table:
        """The records of all runs as they ended: `run`, ACCEPTED, and the columns named that some have.

        Raises:
            DamagedStoreError: a record that the index does not tell of is damaged, unless only the `sound`
                are asked for.
        """
        wanted = None if columns is None else list(dict.fromkeys(["finished", *columns]))
        base = self._folded(_RUNS, None if wanted is None else ["run", ACCEPTED, *wanted])
        records = self._of_folders(wanted, sound=sound)
        return _together([*base, *records.values()]).sort_by(_ORDER)

    def records(self, columns: Sequence[str] | None = None, *, sound: bool = False) -> pa.Table:
        """As `runs`, without ACCEPTED: what the table of runs shows."""
        found = self.runs(columns, sound=sound)
        return found.drop_columns([name for name in (ACCEPTED,) if name in found.column_names])

    def rows(self, table: str, columns: Sequence[str] | None, *, sound: bool = False) -> pa.Table:
        """`run`, and the columns named, of an indexed table of all runs that have it; in no order of these.

        Raises:
            DamagedStoreError: a table that the index does not tell of is damaged or absent, as of `runs`.
        """
        base = self._folded(table, None if columns is None else ["run", *columns])
        records = self._of_folders(["status"], sound=sound)
        whole = [run for run, record in records.items() if not _is_interrupted(record)]
        paths = [self._store.run_table(run, table) for run in whole]
        found = list(base)
        for run, path, content in zip(whole, paths, self._store.read_present(paths), strict=True):
            try:
                found.append(_of_run(run, content, columns))
            except _UNREADABLE as error:
                is_there = content is not None or self._store.exists(self._store.run_table(run, "run"))
                if is_there and not sound:  # else it was removed meanwhile
                    raise DamagedStoreError(path, error, self._store.root) from error
        return _together(found)

    def _look(self) -> None:
        self._content: bytes | None = None
        self._at = _Look.at(self._store)
        while self._at.number and self._content is None:
            try:
                self._content = read_bytes(_file(self._store, _RUNS, self._at.number))
            except FileNotFoundError:  # folded meanwhile
                self._at = _Look.at(self._store)
        self._ask(self._at.changed.keys() if self._content else published_runs(self._store))

    def _ask(self, runs: Iterable[str]) -> None:
        """Read the records of runs that only their folders tell of."""
        asked = sorted({*runs} - self._at.removed.keys())
        contents = self._store.read_present([self._store.run_table(run, "run") for run in asked])
        self._contents = {
            run: content for run, content in zip(asked, contents, strict=True) if content is not None
        }

    def _folded(self, table: str, columns: Sequence[str] | None) -> list[pa.Table]:
        """What the files of the index say of the runs that are not marked; nothing if they are damaged."""
        while self._content is not None:
            try:
                if table == _RUNS:
                    found = parse_table(self._content, columns)
                else:
                    size = _sizes(parse_table(self._content, []))[table]
                    found = read_columns(_file(self._store, table, self._at.number), size, columns)
                return [_without(found, {*self._at.changed, *self._at.removed})]
            except FileNotFoundError:  # folded meanwhile
                number = self._at.number
                self._look()
                if self._at.number == number:
                    self._distrust()
            except _UNREADABLE:
                self._distrust()
        return []

    def _distrust(self) -> None:
        self._content = None
        self._ask(published_runs(self._store))

    def _of_folders(self, columns: Sequence[str] | None, *, sound: bool) -> dict[str, pa.Table]:
        """The records of the runs that only their folders tell of."""
        found = {}
        for run, content in self._contents.items():
            try:
                found[run] = _of_run(run, content, columns)
            except _UNREADABLE as error:
                if not sound:
                    path = self._store.run_table(run, "run")
                    raise DamagedStoreError(path, error, self._store.root) from error
        return found


def announce(store: Store, run: str) -> bool:
    """Let the index know that a run will be published, and withdraw a run of that id.

    Returns whether it is time to `fold_if_free` once the run is published.
    """
    look = _Look.at(store)
    if run in look.removed:
        with exclusive(store, _LOCK, wait=True):
            _fold(store)
    record = store.run_table(run, "run")
    if store.exists(record):
        with changing(store, run):
            store.remove([record])
    else:
        _mark(store, [run], _CHANGED)
    return look.is_due


@contextmanager
def changing(store: Store, run: str) -> Iterator[None]:
    """Within this the folder of a published run may change; the index asks it from now on."""
    with exclusive(store, _LOCK, wait=True):
        _mark(store, [run], _CHANGED)
        yield


def remove_runs(store: Store, runs: Collection[str]) -> None:
    """Remove runs from the index, then their folders; once begun, the next folding ends it.

    Only for who knows that none of them is under way.
    """
    with exclusive(store, _LOCK, wait=True):
        _mark(store, runs, _REMOVED)
        _fold(store)


def fold_if_free(store: Store) -> None:
    """Fold what is marked into the index, unless another does, or goes on with it."""
    with suppress(BusyError, LostLockError), exclusive(store, _LOCK, wait=False):
        _fold(store)


def rebuild(store: Store) -> None:
    """Make the index anew from the folders of all runs; none may be published meanwhile."""
    with exclusive(store, _LOCK, wait=True):
        _fold(store, anew=True)


def discrepancy(store: Store, damaged: Collection[str]) -> str | None:
    """In what the index and the folders differ, but for the runs that are known to be damaged."""
    look = _Look.at(store)
    if look.number:
        try:
            _base(store, look)
        except _UNREADABLE as error:
            return str(error)
    published = published_runs(store)
    records = store.read_present([store.run_table(run, "run") for run in published])
    truth = [
        _of_run(run, content, None)
        for run, content in zip(published, records, strict=True)
        if run not in damaged
    ]
    found = _without(Index(store).records(sound=True), damaged)
    expected = _together(truth).sort_by(_ORDER)
    if not found.select(sorted(found.column_names)).equals(expected.select(sorted(expected.column_names))):
        return "it is not what the folders of runs say"
    return None


def _fold(store: Store, *, anew: bool = False) -> None:
    """Write what the folders of marked runs say into new files, then remove the old ones, then the marks.

    That order lets a reader that found an old file know that it saw all marks. Only with the lock.
    """
    look = _Look.at(store)
    for run in sorted(look.removed):
        store.remove([store.run_table(run, "run"), store.run(run)])
    base: dict[str, pa.Table] = {}
    if look.number and not anew:
        with suppress(*_UNREADABLE):
            base = _base(store, look)
    asked = {*look.changed, *([] if base else published_runs(store))} - look.removed.keys()
    folders, unsettled = _read_folders(store, sorted(asked))
    if anew:  # nothing is under way
        unsettled &= {*published_runs(store)}
    if unmarked := unsettled - look.changed.keys():
        _mark(store, unmarked, _CHANGED)
    tables = {
        name: _together([*([_without(base[name], {*asked, *look.removed})] if base else []), *folders[name]])
        for name in (_RUNS, *INDEXED)
    }
    write(store, tables, look.number + 1)
    store.discard([path for path in look.files if _number(path) <= look.number])
    settled = {run: paths for run, paths in look.changed.items() if run not in unsettled}
    store.discard([path for paths in (*settled.values(), *look.removed.values()) for path in paths])


def write(store: Store, tables: Mapping[str, pa.Table], number: int) -> None:
    """Write the files of a folding, `runs` last; only with the lock."""
    contents = {_file(store, name, number): table_bytes(tables[name]) for name in INDEXED}
    store.write_all(contents)
    sizes = {name: len(contents[_file(store, name, number)]) for name in INDEXED}
    runs = tables[_RUNS].sort_by(_ORDER)
    runs = runs.replace_schema_metadata({"bytes": json.dumps(sizes)})
    store.write(_file(store, _RUNS, number), table_bytes(runs))


def _read_folders(store: Store, runs: Sequence[str]) -> tuple[dict[str, list[pa.Table]], set[str]]:
    """Tables of runs, and the runs that are not published yet, or damaged."""
    contents = store.read_present([store.run_table(run, "run") for run in runs])
    records = {run: content for run, content in zip(runs, contents, strict=True) if content is not None}
    unsettled = {*runs} - records.keys()
    accepted = store.read_present([store.acceptance(run) for run in records])
    paths = [store.run_table(run, name) for run in records for name in INDEXED]
    tables = iter(store.read_present(paths))
    found: dict[str, list[pa.Table]] = {name: [] for name in (_RUNS, *INDEXED)}
    for (run, content), acceptance in zip(records.items(), accepted, strict=True):
        of_run = [next(tables) for _ in INDEXED]
        try:
            record = _of_run(run, content, None)
            rows = [] if _is_interrupted(record) else [_of_run(run, each, None) for each in of_run]
        except _UNREADABLE:
            unsettled.add(run)
            continue
        is_accepted = pa.array([acceptance is not None])
        found[_RUNS].append(record.add_column(1, ACCEPTED, is_accepted))
        for name, table in zip(INDEXED, rows, strict=bool(rows)):
            found[name].append(table)
    return found, unsettled


def _base(store: Store, look: _Look) -> dict[str, pa.Table]:
    """The tables of the last folding."""
    return {name: read_table(_file(store, name, look.number)) for name in (_RUNS, *INDEXED)}


def _mark(store: Store, runs: Collection[str], what: str) -> None:
    token = secrets.token_hex(8)
    store.write_all({store.index_of_runs(f"{run}~{token}.{what}"): b"" for run in runs})


def _file(store: Store, table: str, number: int) -> Location:
    return store.index_of_runs(f"{table}-{number:08}.parquet")


def _number(path: Location) -> int:
    return int(path.stem.rpartition("-")[2])


def _sizes(runs: pa.Table) -> dict[str, int]:
    return dict(json.loads(runs.schema.metadata[b"bytes"]))


def _of_run(run: str, content: bytes | None, columns: Sequence[str] | None) -> pa.Table:
    """The table in this file, with its run in front."""
    if content is None:
        raise FileNotFoundError("it is absent")
    return with_run(run, parse_table(content, columns))


def with_run(run: str, table: pa.Table) -> pa.Table:
    """A table of a run, with its id in front."""
    return table.add_column(0, "run", texts([run] * table.num_rows))


def _without(table: pa.Table, runs: Collection[str]) -> pa.Table:
    if not runs:
        return table
    return table.filter(pc.invert(pc.is_in(table["run"], value_set=texts(sorted(runs)))))


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of versions with other columns, as one."""
    tables = [table for table in tables if table.num_rows]
    if not tables:
        none = {"run": pa.string(), "finished": pa.timestamp("us", tz="UTC")}
        return pa.schema(none).empty_table()
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _is_interrupted(record: pa.Table) -> bool:
    return bool(record["status"][0].as_py() == INTERRUPTED)
